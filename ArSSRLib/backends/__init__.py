"""Optional alternatives to PyTorch for the encoder of a network, each with the network itself as its reference."""
