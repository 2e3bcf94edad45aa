"""Training on an accelerator: one update is captured as a CUDA graph and replayed, with nothing read back in between.

An update is written as a generator of calls that the host has to make, such as a method's hook around a step. All that
it does between two of them works on tensors that stay where they are, so it can be captured. On the CPU the same
generator runs as it is: that is how it is proven to be SB3's update.
"""
