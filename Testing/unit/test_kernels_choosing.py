"""The fastest correct implementation is used, and the log names the others; simulated on the CPU with a fake clock."""

from __future__ import annotations

import logging

import pytest
import torch

from ArSSRLib.convolution.slabs import unobserved
from ArSSRLib.coordinates import whole_grid
from ArSSRLib.kernels import choosing
from ArSSRLib.kernels.choosing import FULL, RUNS, WARM_UPS, MeasuredExecutor, choices
from ArSSRLib.kernels.paths import InFullPrecision
from ArSSRLib.model.interface import Conditioning

SCALE = Conditioning(torch.full((1, 3), 2.0))


@pytest.fixture(autouse=True)
def nothing_is_known_yet():
    choices.clear()
    yield
    choices.clear()


class Faked:
    """An implementation with the result of another one, optionally wrong, and with made-up seconds."""

    now = 0.0

    def __init__(self, plain, seconds, spoil=lambda result, volume: result) -> None:
        self.plain, self.seconds, self.spoil, self.tiles = plain, seconds, spoil, 0

    def encode_tile(self, volume, told, progress):
        self.tiles += 1
        Faked.now += self.seconds
        answer = self.plain.encode_tile(volume, told, progress)
        return lambda grid: self.spoil(answer(grid), volume)


@pytest.fixture
def measured(tiny_model, monkeypatch):
    """Return an executor of implementations with given seconds and optional errors, besides fp32 with one second."""
    monkeypatch.setattr(choosing, "clock", lambda device: Faked.now)
    plain = InFullPrecision(tiny_model)

    def make(**ways) -> MeasuredExecutor:
        faked = {name: Faked(plain, *(way if isinstance(way, tuple) else (way,))) for name, way in ways.items()}
        executor = MeasuredExecutor(
            faked, Faked(plain, 1.0), halo=tiny_model.halo, tolerance=0.005, key="cpu", name="Tiny on cpu"
        )
        executor.faked = faked
        return executor

    return make


def tile(edge: int = 12) -> torch.Tensor:
    torch.manual_seed(edge)
    return torch.rand(1, 1, edge, edge + 1, edge + 2)


def answer(executor, volume: torch.Tensor) -> torch.Tensor:
    k, j, i = volume.shape[2:]
    with torch.inference_mode():
        return executor.encode_tile(volume, SCALE, unobserved)(whole_grid((k, j, i), (k + 3, j + 1, i)))


def raise_error(result, volume):
    raise ValueError("out of resource: shared memory")


WRONG = {
    "an image that is off": lambda result, volume: result + 0.02,
    "no number": lambda result, volume: result * torch.nan,
    "large tiles only": lambda result, volume: result + 0.5 * (volume.shape[2] > 30),
    "a kernel that cannot run": raise_error,
}


@pytest.mark.parametrize("spoil", WRONG.values(), ids=WRONG)
def test_an_inaccurate_implementation_is_logged_and_not_used_however_fast(measured, tiny_model, caplog, spoil):
    executor, volume = measured(plain=0.5, fused=(0.1, spoil)), tile(32)

    with caplog.at_level(logging.WARNING):
        found = answer(executor, volume)

    torch.testing.assert_close(found, answer(InFullPrecision(tiny_model), volume))
    (record,) = caplog.records
    assert record.getMessage().startswith("Tiny on cpu: fused ")
    assert record.getMessage().endswith("on a tile of 34 x 33 x 32 voxels; it is not used.")
    assert next(iter(choices.values())).way == "plain"
    tiles = executor.faked["fused"].tiles
    answer(executor, tile(32))
    assert (executor.faked["fused"].tiles, len(caplog.records)) == (
        tiles,
        1,
    )  # neither tried nor reported again


@pytest.mark.parametrize(
    ("ways", "expected"),
    [
        ({"plain": 0.5, "fused": 0.2}, "fused"),
        ({"plain": 0.5, "fused": 0.6}, "plain"),
        ({"plain": 0.5, "fused": 0.49}, "plain"),  # within the noise of the clock
        ({"plain": 1.2, "fused": 1.1}, FULL),
        ({"plain": 1.2, "fused": 0.3}, "fused"),
        ({}, FULL),
    ],
)
def test_the_fastest_implementation_is_used(measured, caplog, ways, expected):
    executor = measured(**ways)

    with caplog.at_level(logging.INFO):
        answer(executor, tile())

    assert next(iter(choices.values())).way == expected
    (record,) = caplog.records
    assert f"Tiny on cpu: {expected} is used" in record.getMessage()
    for name, seconds in ways.items():
        assert f"{name} {1000 * seconds:.1f} ms" in record.getMessage()
        unused = record.getMessage().partition("not used: ")[2].partition(" (")[0].split(", ")
        assert (name in unused) == (name != expected)


def test_an_implementation_that_only_rounds_differently_is_used(measured, tiny_model):
    executor = measured(plain=(0.5, lambda result, volume: result + 0.001))
    volume = tile(40)  # larger than the halo, because the comparison uses a part of it

    torch.testing.assert_close(answer(executor, volume), answer(InFullPrecision(tiny_model), volume) + 0.001)


def test_implementations_are_measured_again_only_for_a_larger_tile(measured, caplog):
    executor = measured(plain=(0.5, WRONG["large tiles only"]))

    answer(executor, tile(12))
    # One call each for the comparison, the timing and the use.
    assert executor.faked["plain"].tiles == 1 + WARM_UPS + RUNS + 1
    answer(executor, tile(12))
    assert executor.faked["plain"].tiles == 1 + WARM_UPS + RUNS + 2
    assert caplog.records == []
    answer(executor, tile(32))

    assert len(caplog.records) == 1
    assert next(iter(choices.values())).way == FULL


def test_the_choice_of_an_executor_is_reused_for_the_same_implementations(measured):
    answer(measured(plain=0.5, fused=(0.1, WRONG["no number"])), tile())
    second, other = measured(plain=0.5, fused=0.1), measured(plain=0.5)

    answer(second, tile())
    answer(other, tile())

    assert second.faked["fused"].tiles == 0
    assert second.faked["plain"].tiles == 1
    assert other.faked["plain"].tiles > 1


def test_only_a_part_of_a_large_tile_is_timed(measured, monkeypatch):
    monkeypatch.setattr(choosing, "TIMED", 4)
    executor = measured(plain=0.5)
    shapes = []
    encode = executor.faked["plain"].encode_tile
    executor.faked["plain"].encode_tile = lambda volume, *rest: (
        shapes.append(volume.shape[2:]),
        encode(volume, *rest),
    )[1]

    answer(executor, tile(12))

    assert shapes == [(12, 13, 14), *[(4, 4, 4)] * (WARM_UPS + RUNS), (12, 13, 14)]


def test_a_lack_of_memory_does_not_reject_an_implementation(measured):
    def run_out(result, volume):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        answer(measured(plain=(0.5, run_out)), tile())
