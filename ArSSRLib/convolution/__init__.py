"""The 3 x 3 x 3 convolutions that the networks are written on: halved products on a CPU, PyTorch's own elsewhere."""
