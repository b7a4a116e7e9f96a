"""Equal shapes replay a recorded graph; failed recordings do not stop the work. Recording is simulated here."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ArSSRLib.kernels.graphs import LARGEST_VOXELS, Repeated


class Recorder:
    """Replaces CUDA, and counts recordings and replays."""

    def __init__(self, *, fails: bool = False) -> None:
        self.recorded: list[torch.Size] = []
        self.replayed = 0
        self.fails = fails

    def __call__(self, function: Callable, inputs) -> Callable:
        self.recorded.append(inputs[0].shape)
        if self.fails:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")

        def replay(*tensors: torch.Tensor) -> torch.Tensor:
            self.replayed += 1
            return function(*tensors)

        return replay


def volume(*shape: int) -> torch.Tensor:
    return torch.rand(1, 1, *shape)


def test_the_second_tile_of_a_shape_is_recorded_and_later_ones_are_replayed():
    recorder = Recorder()
    double = Repeated(lambda x: 2 * x, recorder)

    for _ in range(4):
        tile = volume(3, 4, 5)
        assert torch.equal(double(tile), 2 * tile)

    assert recorder.recorded == [(1, 1, 3, 4, 5)]
    assert recorder.replayed == 3


def test_another_shape_has_another_graph_and_only_one_is_kept():
    recorder = Recorder()
    double = Repeated(lambda x: 2 * x, recorder)

    for shape in [(3, 4, 5), (3, 4, 6), (3, 4, 6), (3, 4, 5)]:
        tile = volume(*shape)
        assert torch.equal(double(tile), 2 * tile)

    assert recorder.recorded == [(1, 1, 3, 4, 6)]
    assert recorder.replayed == 1


def test_after_a_failed_recording_kernels_are_launched_without_a_graph():
    recorder = Recorder(fails=True)
    double = Repeated(lambda x: 2 * x, recorder)

    for _ in range(4):
        tile = volume(2, 2, 2)
        assert torch.equal(double(tile), 2 * tile)

    assert len(recorder.recorded) == 1


def test_a_tile_that_keeps_the_device_busy_is_not_recorded():
    recorder = Recorder()
    shape = Repeated(lambda x: x, recorder)
    large = torch.empty(()).expand(1, 1, LARGEST_VOXELS + 1, 1, 1)

    for _ in range(3):
        shape(large)

    assert recorder.recorded == []
