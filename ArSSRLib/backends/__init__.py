"""Other programs than PyTorch that run a network's encoder, each optional, with the network itself as its reference."""
