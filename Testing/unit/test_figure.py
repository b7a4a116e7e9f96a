"""Pictures: position and orientation are correct, and files are written completely or not at all."""

from __future__ import annotations

import os
import struct

import matplotlib._pylab_helpers
import numpy as np
import phantoms
import pytest

from ArSSRLib.errors import InputError, OutputError
from ArSSRLib.figure import save_comparison
from ArSSRLib.figure.views import View, detail, gray_window, orthogonal_views, quiet_corner, sample
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.volume import Volume


@pytest.fixture(autouse=True)
def coarse_pixels(monkeypatch):
    """Draw a ninth of the pixels, because the tested properties do not depend on their number."""
    monkeypatch.setattr("ArSSRLib.figure.views.SAMPLES", 300)
    monkeypatch.setattr("ArSSRLib.figure._DPI", 50)


AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
ORIENTATIONS = {
    "axial": AXIAL,
    "flipped": (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, -1.0),
    "sagittal": (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0),
    "coronal": (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0),
    "oblique": phantoms.rotation(9, -14, 21),
}


def cube(direction=AXIAL, size=(40, 40, 20), spacing=(2.0, 2.0, 4.0)) -> VolumeGeometry:
    """A grid centered on the origin of the patient."""
    axes = np.reshape(direction, (3, 3))
    origin = -axes @ (np.multiply(spacing, np.subtract(size, 1)) / 2)
    return VolumeGeometry(size, spacing, tuple(origin), direction)


def ball(geometry: VolumeGeometry, center, sigma=9.0) -> Volume:
    return phantoms.sample([phantoms.Blob(tuple(center), sigma, 100.0)], geometry)


def centroid(image: np.ndarray, view: View) -> np.ndarray:
    """Return the center of mass of a picture from its middle, right and down, in mm."""
    weights = np.nan_to_num(image)
    rows, columns = (np.arange(n) + 0.5 for n in image.shape)
    down = (weights.sum(axis=1) @ rows) / weights.sum() * view.height / image.shape[0] - view.height / 2
    right = (weights.sum(axis=0) @ columns) / weights.sum() * view.width / image.shape[1] - view.width / 2
    return np.array([right, down])


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_pictures_are_in_radiological_orientation(orientation):
    """The patient's left is on the right, the front at the top (axial) or left (sagittal), the head at the top."""
    geometry = cube(ORIENTATIONS[orientation])
    axes = np.reshape(phantoms.rotation(9, -14, 21) if orientation == "oblique" else AXIAL, (3, 3))
    center = axes @ [12.0, -8.0, 5.0]  # left, front, head
    volume = ball(geometry, center)

    planes = orthogonal_views([volume])

    expected = {"Axial": (12, -8), "Coronal": (12, -5), "Sagittal": (-8, -5)}
    assert [view.name for view in planes] == list(expected)
    for view in planes:
        np.testing.assert_allclose(centroid(sample(volume, view), view), expected[view.name], atol=0.6)


def test_letters_label_the_edges():
    letters = {view.name: view.letters for view in orthogonal_views([ball(cube(), (0, 0, 0))])}

    # Left, right, upper and lower edge of the picture.
    assert letters == {"Axial": "RLAP", "Coronal": "RLSI", "Sagittal": "APSI"}


@pytest.mark.parametrize("scale", [(1.0, 1.0, 4.0), (2.0, 1.5, 3.3)])
def test_all_panels_show_the_same_position(oblique_geometry, scale):
    blobs = phantoms.blobs_in(oblique_geometry)
    coarse, fine = (phantoms.sample(blobs, grid) for grid in (oblique_geometry, oblique_geometry.upsampled(scale)))

    for view in orthogonal_views([coarse, fine]):
        one, other = (centroid(sample(volume, view), view) for volume in (coarse, fine))
        np.testing.assert_allclose(one, other, atol=0.35)
        assert sample(coarse, view).shape == sample(fine, view).shape


def test_proportions_are_correct_for_thick_slices():
    volume = ball(cube(size=(40, 40, 10), spacing=(2.0, 2.0, 8.0)), (0, 0, 4), sigma=12)

    for view in orthogonal_views([volume]):
        picture = np.nan_to_num(sample(volume, view))
        # Pixels are square in mm, and a ball is as wide as it is tall, within half a slice.
        assert picture.shape[1] / picture.shape[0] == pytest.approx(view.width / view.height, rel=0.01)
        wide, tall = (np.flatnonzero(picture.max(axis=n) > 50).size * view.width / picture.shape[1] for n in (0, 1))
        assert wide == pytest.approx(tall, abs=4.1)


def test_no_plane_lies_between_two_slices_of_the_finest_grid(oblique_geometry):
    coarse = phantoms.sample(phantoms.blobs_in(oblique_geometry), oblique_geometry)
    fine = coarse.geometry.upsampled((2.0, 2.0, 4.0))
    to_index = np.linalg.inv(fine.affine)

    planes = orthogonal_views([coarse, Volume(np.zeros(fine.shape, np.uint8), fine)])

    for view, axis in zip(planes, (2, 1, 0), strict=True):
        index = (to_index @ [*view.corner, 1.0])[axis]
        assert index == pytest.approx(round(index), abs=1e-6)


def test_pictures_are_empty_outside_the_volume():
    large, small = ball(cube(), (0, 0, 0)), ball(cube(size=(10, 10, 5)), (0, 0, 0))

    picture = sample(small, orthogonal_views([large])[0])

    assert np.isnan(picture[0]).all()
    assert np.isfinite(picture).mean() == pytest.approx(1 / 16, rel=0.05)


def test_all_pictures_have_the_same_gray_window():
    pictures = [np.full((40, 40), 0.0), np.full((40, 40), 50.0), np.full((40, 40), np.nan)]

    assert gray_window([pictures]) == (0, 50)
    assert gray_window([pictures[:1]]) == (0, 1)
    assert gray_window([pictures[2:]]) == (0, 1)


def test_the_detail_is_the_part_of_the_anatomy_with_most_structure():
    view = View("Axial", np.zeros(3), np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), 200.0, 200.0, "RLAP")
    picture = np.zeros((400, 400))
    picture[100:300, 50:350] = 60  # tissue, with a sharp outline
    picture[150:210:4, 240:300] = 100  # a grating in it, at 120 to 150 mm and 75 to 105 mm

    left, top, width, height = detail(picture, view, (0.0, 100.0))

    assert width == height == pytest.approx(28)
    assert 118 <= left <= 124
    assert 73 <= top <= 79
    corner = quiet_corner([picture], (left, top, width, height), view, (0.0, 100.0))
    assert corner[0] > 100  # the tissue extends further to the left
    assert corner[1] < 20 or corner[1] > 100


def test_a_detail_never_covers_the_area_that_it_enlarges():
    view = View("Axial", np.zeros(3), np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), 100.0, 100.0, "RLAP")
    picture = np.ones((200, 200))
    picture[:100, 100:] = 0

    corner = quiet_corner([picture], (70.0, 10.0, 14.0, 14.0), view, (0.0, 1.0))

    assert corner[:2] != pytest.approx((100 - corner[2] - 1.2, 1.2))


# --- the file


def png_size(path) -> tuple[int, int]:
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert content.endswith(b"IEND\xaeB`\x82")
    return struct.unpack(">II", content[16:24])


@pytest.fixture
def coarse() -> Volume:
    return ball(cube(size=(12, 12, 6), spacing=(5.0, 5.0, 10.0)), (3, 4, 5), sigma=12)


def test_there_is_a_column_for_each_volume_and_a_row_for_the_difference(tmp_path, coarse, capfd):
    before = coarse.array.copy()

    one = save_comparison(tmp_path / "1.png", [("Input", coarse)])
    two = save_comparison(tmp_path / "2.png", [("Ein $\\Titel$ für 脳", coarse), ("Truth", coarse)], difference_to=1)

    (width, height), (wider, taller) = png_size(one), png_size(two)
    assert wider > 1.8 * width
    assert taller > 1.25 * height
    assert sorted(os.listdir(tmp_path)) == ["1.png", "2.png"]
    assert capfd.readouterr() == ("", "")
    assert not matplotlib._pylab_helpers.Gcf.figs
    np.testing.assert_array_equal(coarse.array, before)


@pytest.mark.parametrize(
    "array",
    [
        np.full((3, 4, 5), 7, np.uint8),
        np.where(np.arange(60).reshape(3, 4, 5) > 20, np.nan, 1e300),
        np.ones((1, 60, 2), np.float32),
        np.arange(9000, dtype=np.int16).reshape(1, 1, 9000),
    ],
    ids=["constant", "with holes", "thin", "a line"],
)
def test_unusual_volumes_have_a_picture_too(tmp_path, array):
    volume = Volume(array, VolumeGeometry(array.shape[::-1], (1.0, 1.0, 1.0)))

    width, height = png_size(save_comparison(tmp_path / "a.png", [("Odd", volume)], difference_to=0))

    assert width < 4000
    assert height < 4000


def test_the_same_volumes_give_the_same_picture(tmp_path, coarse):
    first, second = (save_comparison(tmp_path / f"{n}.png", [("A", coarse)]) for n in "ab")

    assert first.read_bytes() == second.read_bytes()


def test_volumes_that_cannot_be_compared_are_refused(tmp_path, coarse):
    far = VolumeGeometry(coarse.geometry.size, coarse.geometry.spacing, (900.0, 0.0, 0.0))

    with pytest.raises(InputError, match="at least one volume"):
        save_comparison(tmp_path / "a.png", [])
    with pytest.raises(InputError, match="0 to 0, got 1"):
        save_comparison(tmp_path / "a.png", [("A", coarse)], difference_to=1)
    with pytest.raises(InputError, match='"B" shows nothing at the position of "A"'):
        save_comparison(tmp_path / "a.png", [("A", coarse), ("B", coarse.with_array(coarse.array, far))])
    assert os.listdir(tmp_path) == []


def test_a_picture_that_cannot_be_written_is_refused(tmp_path, coarse):
    (tmp_path / "mine.png").write_text("mine")

    for name, told in (
        ("a.jpg", r"ends in \.png"),
        ("mine.png", "already exists"),
        ("gone/a.png", "No such file"),
        ("mine.png/a.png", "Not a directory"),
    ):
        with pytest.raises(OutputError, match=told):
            save_comparison(tmp_path / name, [("A", coarse)])
    assert os.listdir(tmp_path) == ["mine.png"]
    assert (tmp_path / "mine.png").read_text() == "mine"


def test_a_picture_is_replaced_on_request(tmp_path, coarse):
    (tmp_path / "a.png").write_text("older")

    assert png_size(save_comparison(tmp_path / "a.png", [("A", coarse)], overwrite=True))
