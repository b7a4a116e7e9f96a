"""The 3 x 3 x 3 convolutions of the networks: with half the multiplications on a CPU, by PyTorch elsewhere."""
