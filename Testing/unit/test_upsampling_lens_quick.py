"""Quick answers of the lens: the limits of their error and of their work."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import phantoms
import pytest
from planes import oblique, plane_of, range_of

from ArSSRLib.checkpoint import load_model
from ArSSRLib.convolution import slabs
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.upsampling.lens import Lens
from ArSSRLib.upsampling.plane import Plane
from ArSSRLib.volume import Volume

CPU = UpsamplingOptions(device="cpu", precision="fp32")


def blocks(edge: int, levels: int, shape=(40, 40, 36)) -> np.ndarray:
    """Return cubes of random intensities: sharp edges everywhere."""
    count = [-(-n // edge) for n in shape]
    values = np.random.default_rng(5).integers(0, levels, count) * (1000.0 / (levels - 1))
    return np.kron(values, np.ones((edge, edge, edge)))[: shape[0], : shape[1], : shape[2]]


def head(shape=(40, 40, 36)) -> np.ndarray:
    """Return blobs and noise as in a magnitude image."""
    blobs = phantoms.sample(phantoms.blobs_in(GRID), GRID).array
    return np.abs(blobs[: shape[0]] + np.random.default_rng(6).normal(0, 20, shape))


GRID = VolumeGeometry((36, 40, 40), (1.0, 1.0, 1.0))
CONTRASTS = {
    "cubes": lambda: blocks(4, 1000),
    "black and white": lambda: blocks(3, 2),
    "noise": lambda: np.random.default_rng(7).uniform(0, 1000, (40, 40, 36)),
    "head": head,
    "inverted head": lambda: 5000 - head(),
}


@pytest.mark.parametrize(
    ("name", "contrast", "scale"),
    [
        *(("arssr3", contrast, 2.0) for contrast in CONTRASTS),
        ("arssr3", "black and white", (1.0, 1.0, 5.0)),
        ("arssr3", "black and white", (1.0, 1.0, 3.0)),
        *(("arssr2", contrast, 2.0) for contrast in CONTRASTS),
        ("arssr2", "black and white", (1.0, 1.0, 5.0)),
        ("arssr2", "cubes", 3.3),
        ("arssr2-deep", "black and white", 2.0),
        ("arssr2-deep", "head", (1.0, 1.0, 4.0)),
        ("arssr3-draft", "black and white", 2.0),
        ("arssr3-draft", "inverted head", 4.0),
    ],
)
def test_a_quick_plane_is_within_1_percent_of_the_range_at_any_position(name, contrast, scale):
    model, volume = load_model(name), Volume(CONTRASTS[contrast]().astype(np.float32), GRID)
    fine, lens = GRID.upsampled(scale), Lens(volume, model, CPU)

    def middle_of(position: float) -> Plane:
        """Return a lens of 12 x 12 pixels that is centered on a position along k, in coarse voxels."""
        affine = fine.affine
        corner = [n // 2 - 6 for n in fine.size[:2]] + [(position + 0.5) * fine.size[2] / 40 - 0.5]
        origin = affine[:3, :3] @ corner + affine[:3, 3]
        return replace(plane_of(fine, 2, 0), origin=tuple(map(float, origin)), size=(12, 12))

    lens.answer(middle_of(15.25), scale)
    lens.answer(middle_of(17.25), scale)  # scrolled: encoded with the planes beside it
    quick = lens.answer(middle_of(19.75), scale)  # two coarse slices away, at the edge of the encoded part
    alone = Lens(volume, model, CPU).answer(middle_of(19.75), scale)
    exact = Lens(volume, model, CPU).answer(middle_of(19.75), scale, exact=True)

    assert (quick.exact, quick.encoded, alone.exact, exact.exact) == (False, 0, False, True)
    difference = np.abs(quick.plane - exact.plane).max()
    assert difference < 0.01 * range_of(volume)
    assert np.abs(alone.plane - exact.plane).max() < 0.01 * range_of(volume)
    assert difference > 0 or name == "arssr3-draft"  # whose layers see less than the halo


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_a_quick_oblique_plane_is_within_1_percent_of_the_range(contrast):
    model, volume = load_model("arssr3"), Volume(CONTRASTS[contrast]().astype(np.float32), GRID)
    plane = oblique(GRID, pixels=20, step=0.5)

    quick, exact = (Lens(volume, model, CPU).answer(plane, 2, exact=exact) for exact in (False, True))

    assert (quick.exact, exact.exact) == (False, True)
    assert 0 < np.abs(quick.plane - exact.plane).max() < 0.01 * range_of(volume)


@pytest.mark.parametrize(("exact", "most"), [(False, 62e9), (True, 80e9)])
def test_a_lens_of_128_pixels_needs_a_limited_number_of_multiplications(exact, most, monkeypatch):
    products = []

    def counted(convolution, features, box, _):
        shape = [s.stop - s.start for s in box]
        products.append(convolution.weight.numel() * np.prod(shape))
        yield slice(0, shape[0]), slice(0, shape[1]), features.new_zeros(*shape, len(convolution.weight))

    geometry = VolumeGeometry((110, 110, 50), (1.0, 1.0, 1.0))
    volume = Volume(np.random.default_rng(7).uniform(0, 1, (50, 110, 110)).astype(np.float32), geometry)
    fine = geometry.upsampled(2)
    origin = tuple(map(float, fine.affine[:3, :3] @ [46, 46, 50] + fine.affine[:3, 3]))
    plane = replace(plane_of(fine, 2, 0), origin=origin, size=(128, 128))
    monkeypatch.setattr(slabs, "_winograd_slabs", counted)
    monkeypatch.setattr(slabs, "_stacked", counted)

    Lens(volume, load_model("arssr2"), CPU).answer(plane, 2, exact=exact)

    # Winograd's algorithm needs half of them: two cores with 55 GFLOP/s each take 0.56 s for a quick answer.
    assert 0.9 * most < sum(products) < most
