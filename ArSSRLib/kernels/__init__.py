"""Device-specific implementations of one step, each with the plain PyTorch version as its reference."""
