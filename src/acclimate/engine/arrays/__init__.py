"""Perceptrons as arrays, forward and back: by numpy or by a kernel in C."""
