"""A fast path that is wrong is found out at its first tile, said in the log, and not used. Faked on the CPU."""

from __future__ import annotations

import logging

import pytest
import torch

from ArSSRLib.convolution.slabs import unobserved
from ArSSRLib.coordinates import whole_grid
from ArSSRLib.kernels import checking
from ArSSRLib.kernels.checking import CheckedExecutor
from ArSSRLib.kernels.paths import InFullPrecision
from ArSSRLib.model.interface import Conditioning

SCALE = Conditioning(torch.full((1, 3), 2.0))


@pytest.fixture(autouse=True)
def nothing_is_known_yet():
    checking.forget()
    yield
    checking.forget()


class Faked:
    """A path that answers as another, wrong in a given way, and counts its tiles."""

    def __init__(self, plain, spoil) -> None:
        self.plain, self.spoil, self.tiles = plain, spoil, 0

    def encode_tile(self, volume, told, progress):
        self.tiles += 1
        answer = self.plain.encode_tile(volume, told, progress)
        return lambda grid: self.spoil(answer(grid), volume)


def checked(model, spoil) -> tuple[CheckedExecutor, Faked]:
    fast = Faked(InFullPrecision(model), spoil)
    path = CheckedExecutor(
        fast, InFullPrecision(model), halo=model.halo, tolerance=0.005, key="cpu bf16", name="Tiny in bf16 on cpu"
    )
    return path, fast


def tile(edge: int = 12) -> torch.Tensor:
    torch.manual_seed(edge)
    return torch.rand(1, 1, edge, edge + 1, edge + 2)


def answer(path, volume: torch.Tensor) -> torch.Tensor:
    k, j, i = volume.shape[2:]
    with torch.inference_mode():
        return path.encode_tile(volume, SCALE, unobserved)(whole_grid((k, j, i), (k + 3, j + 1, i)))


def raise_error(result, volume):
    raise ValueError("out of resource: shared memory")


WRONG = {
    "an image that is off": lambda result, volume: result + 0.02,
    "no number": lambda result, volume: result * torch.nan,
    "large tiles only": lambda result, volume: result + 0.5 * (volume.shape[2] > 30),
    "a kernel that cannot run": raise_error,
}


@pytest.mark.parametrize("spoil", WRONG.values(), ids=WRONG)
def test_a_wrong_result_is_named_in_the_log_and_the_plain_path_answers(tiny_model, caplog, spoil):
    path, fast = checked(tiny_model, spoil)
    volume = tile(32)

    with caplog.at_level(logging.WARNING):
        found = answer(path, volume)

    torch.testing.assert_close(found, answer(InFullPrecision(tiny_model), volume))
    assert "Tiny in bf16 on cpu" in caplog.text
    assert "34 x 33 x 32" in caplog.text
    assert len(caplog.records) == 1
    tiles = fast.tiles
    answer(path, tile(32))
    assert (fast.tiles, len(caplog.records)) == (tiles, 1)  # neither tried nor complained about again


def test_rounding_passes_and_the_fast_path_answers(tiny_model, caplog):
    path, _ = checked(tiny_model, lambda result, volume: result + 0.001)
    volume = tile(40)  # larger than the halo: what is compared is cut out of it

    found = answer(path, volume)

    torch.testing.assert_close(found, answer(InFullPrecision(tiny_model), volume) + 0.001)
    assert caplog.records == []


def test_a_tile_is_checked_once_and_again_when_it_is_larger(tiny_model, caplog):
    path, fast = checked(tiny_model, WRONG["large tiles only"])

    answer(path, tile(12))
    assert (fast.tiles, caplog.records) == (1, [])
    answer(path, tile(32))

    assert len(caplog.records) == 1


def test_what_one_path_found_out_holds_for_the_next(tiny_model):
    first, _ = checked(tiny_model, lambda result, volume: result + 1)
    answer(first, tile())
    second, fast = checked(tiny_model, lambda result, volume: result)

    answer(second, tile())

    assert fast.tiles == 0


def test_memory_that_is_short_is_no_fault_of_the_fast_path(tiny_model):
    def run_out(result, volume):
        raise torch.OutOfMemoryError("CUDA out of memory")

    path, _ = checked(tiny_model, run_out)

    with pytest.raises(torch.OutOfMemoryError):
        answer(path, tile())
