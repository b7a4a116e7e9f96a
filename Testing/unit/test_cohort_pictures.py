"""The pictures of a report show the right slices at the right position on any grid, and are small enough."""

from __future__ import annotations

import base64
import io

import numpy as np
import phantoms
import pytest
from scipy import ndimage

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed (pip install Pillow)")
pytest.importorskip("matplotlib", reason="matplotlib is not installed (pip install matplotlib)")

from ArSSRLib.cohort.report import pictures  # noqa: E402 - needs these packages
from ArSSRLib.cohort.report.findings import slice_gains  # noqa: E402 - as above
from ArSSRLib.geometry import VolumeGeometry  # noqa: E402

DIRECTIONS = {
    "axial": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
    "sagittal": (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0),
    "oblique": phantoms.rotation(9, -14, 21),
}


@pytest.fixture(params=DIRECTIONS)
def shown(request):
    coarse = VolumeGeometry((24, 20, 9), (1.0, 1.2, 3.0), (5, -7, 9), DIRECTIONS[request.param])
    blobs = phantoms.blobs_in(coarse)
    fine = coarse.resized((24, 20, 27))
    return pictures.Shown(phantoms.sample(blobs, fine), phantoms.sample(blobs, coarse))


def test_the_interpolated_layer_is_cubic_at_the_voxels_of_the_result(shown):
    """At the size of the result, the layer equals the cubic interpolation of the whole scan, slice by slice."""
    scan, result = shown.scan, shown.result
    ways = np.meshgrid(
        *[(np.arange(n) + 0.5) * m / n - 0.5 for n, m in zip(result.array.shape, scan.array.shape, strict=True)],
        indexing="ij",
    )
    whole = ndimage.map_coordinates(scan.array.astype(np.float64), ways, order=3, mode="mirror")
    cubic = pictures.Shown(result.with_array(whole.astype(np.float32)), scan)

    drawn = pictures.pictures_of(cubic, 10**7)

    assert drawn.mean_difference == pytest.approx(0, abs=1e-3)


def test_every_layer_shows_the_blob_at_the_same_position(shown):
    for plane in pictures.pictures_of(shown, 10**7).planes:
        centers = [center_of(plane.layers[name], plane.count) for name in plane.layers if name != "difference"]

        assert len(centers) == 3
        assert np.ptp(centers, axis=0).max() < 0.02


def center_of(picture, count):
    """Return the center of the bright voxels in the middle slice, as fractions of its edges."""
    stored = Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2])))
    gray = np.asarray(stored.convert("L"), dtype=np.float64).reshape(count, -1, stored.width)[count // 2]
    gray = np.where(gray > 60, gray, 0)
    rows, columns = ((np.arange(n) + 0.5) / n for n in gray.shape)
    return gray.sum(axis=1) @ rows / gray.sum(), gray.sum(axis=0) @ columns / gray.sum()


def test_lines_mark_the_intersections_of_planes(shown):
    planes = pictures.pictures_of(shown, 10**7).planes

    for plane in planes:
        assert plane.columns.plane != plane.rows.plane
        for line in (plane.columns, plane.rows):
            assert len(line.places) == planes[line.plane].count
            assert all(0 < place < 1 for place in line.places)
            steps = np.diff(line.places)
            assert (steps > 0).all() or (steps < 0).all()


def test_pictures_stay_within_their_size_limit(shown):
    best = pictures.pictures_of(shown, 10**7).size

    smaller = pictures.pictures_of(shown, best - 1)

    assert smaller.size < best


def test_a_volume_of_another_orientation_is_shown_without_a_difference(shown):
    geometry = shown.result.geometry
    turned = VolumeGeometry(geometry.size, geometry.spacing, (5, -7, 9), phantoms.rotation(40, 0, 0))

    drawn = pictures.pictures_of(pictures.Shown(shown.result.with_array(shown.result.array, turned), shown.scan), 10**7)

    assert list(drawn.planes[0].layers) == ["scan", "result"]
    assert drawn.mean_difference is None


@pytest.mark.parametrize(
    "gains", [None, [1.0], {"rms": 1.0}, {"rms": "1", "largest": 2.0}, {"rms": 1.0, "largest": None}]
)
def test_slice_gains_of_zero_are_not_shown(gains):
    assert slice_gains({"slice_gains": gains}) == {}
    assert slice_gains({}) == {}
    assert slice_gains({"slice_gains": {"axis": "k", "rms": 1.0, "largest": 2}}) == {"rms": 1.0, "largest": 2.0}
