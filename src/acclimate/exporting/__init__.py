"""An agent as a file that others run: a graph of ONNX, weights, a folder for the Hub, each with its contract."""
