"""Blocks arrive complete and in order. On the CPU only; `Testing/gpu` tests copies during the work of a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ArSSRLib.kernels.transfer import to_device, to_host


def test_an_array_arrives_as_a_tensor():
    tensor = torch.from_numpy(np.arange(24, dtype=np.float32).reshape(2, 3, 4))

    assert torch.equal(to_device(tensor, torch.device("cpu")), torch.arange(24.0).view(2, 3, 4))


def test_blocks_are_yielded_one_by_one_as_they_are_computed():
    computed = []

    def blocks():
        for number in range(3):
            computed.append(number)
            yield number, torch.full((2, 2), float(number))

    received = []
    for number, array in to_host(blocks()):
        received.append((number, array.tolist()))
        assert len(computed) == len(received)  # nothing can overlap on the CPU, and this saves memory

    assert received == [(number, [[number] * 2] * 2) for number in range(3)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here")
def test_a_gpu_computes_the_next_block_before_the_last_one_is_returned():
    computed = []

    def blocks():
        for number in range(4):
            computed.append(number)
            yield number, torch.full((64, 64, 64), float(number), device="cuda")

    received = []
    for number, array in to_host(blocks()):
        received.append(number)
        assert len(computed) == min(4, len(received) + 1)
        assert np.all(array == number)

    assert received == [0, 1, 2, 3]
