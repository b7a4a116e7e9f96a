"""Pictures without a screen: slice views by Slicer's own logic, and widgets."""

from __future__ import annotations

import numpy as np
import pytest
import qt
import slicer


@pytest.fixture
def quadrants(scene):
    """Left and right, posterior and anterior halves in four intensities, the same in every axial slice."""
    array = np.zeros((8, 20, 20), np.int16)
    array[:, 10:, :] += 100  # anterior
    array[:, :, 10:] += 50  # right
    volume = slicer.util.addVolumeFromArray(array, name="quadrants")
    volume.CreateDefaultDisplayNodes()
    volume.GetDisplayNode().AutoWindowLevelOff()
    volume.GetDisplayNode().SetWindowLevelMinMax(0, 150)
    return volume


def test_an_axial_slice_is_viewed_from_below(slicerHost, quadrants):
    image = slicerHost.slice_image(quadrants, size=(40, 40))
    corners = [int(image[row, column, 0]) for row in (5, 34) for column in (5, 34)]

    assert corners == [255, 170, 85, 0]  # anterior at the top, the patient's right at the left


def test_taking_a_picture_does_not_change_the_scene(slicerHost, scene, quadrants):
    before = [scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())]
    slicerHost.slice_image(quadrants, "Coronal")

    assert [scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())] == before


def test_the_offset_selects_the_slice(slicerHost, scene):
    array = np.zeros((4, 6, 6), np.int16)
    array[3] = 100
    volume = slicer.util.addVolumeFromArray(array)
    volume.CreateDefaultDisplayNodes()

    assert slicerHost.slice_image(volume, offset=3.0)[128, 128, 0] == 255
    assert slicerHost.slice_image(volume, offset=0.0)[128, 128, 0] == 0


def test_a_foreground_is_blended(slicerHost, quadrants):
    white = slicer.util.addVolumeFromArray(np.full((8, 20, 20), 10, np.int16))
    white.CreateDefaultDisplayNodes()
    white.GetDisplayNode().AutoWindowLevelOff()
    white.GetDisplayNode().SetWindowLevelMinMax(0, 10)
    image = slicerHost.slice_image(quadrants, size=(40, 40), foreground=white, opacity=0.5)

    assert int(image[34, 34, 0]) == pytest.approx(127, abs=2)


def test_a_view_of_the_layout_shows_its_volume(slicerHost, quadrants):
    slicer.util.setSliceViewerLayers(background=quadrants, fit=True)

    np.testing.assert_array_equal(
        slicerHost.view_image("Red", size=(40, 40)), slicerHost.slice_image(quadrants, size=(40, 40))
    )


def test_an_empty_view_is_black(slicerHost, scene):
    assert not slicerHost.view_image("Red").any()


def picture_of(slicerHost, widget, path):
    slicerHost.render(widget, path, width=200, scale=2)
    image = qt.QImage(str(path))
    return np.array([[image.pixel(x, y) & 0xFF for x in range(image.width())] for y in range(image.height())])


def test_a_widget_is_drawn_with_its_text_at_the_requested_width(slicerHost, tmp_path):
    empty = picture_of(slicerHost, qt.QLabel(""), tmp_path / "empty.png")
    words = picture_of(slicerHost, qt.QLabel("Upsample"), tmp_path / "words.png")

    assert words.shape[1] == 400
    assert np.ptp(empty) == 0
    assert (words < 100).sum() > 200, "no font was found: nothing dark is drawn"


def test_letters_have_different_shapes(slicerHost, tmp_path):
    """Without a font every letter is drawn as the same box."""
    first = picture_of(slicerHost, qt.QLabel("IIII"), tmp_path / "i.png")
    second = picture_of(slicerHost, qt.QLabel("WWWW"), tmp_path / "w.png")

    assert (second < 100).sum() > 1.5 * (first < 100).sum()


def test_a_folded_section_is_shorter_than_an_open_one(slicerHost, tmp_path):
    import ctk

    panel = qt.QWidget()
    section = ctk.ctkCollapsibleButton("Advanced")
    qt.QVBoxLayout(panel).addWidget(section)
    form = qt.QFormLayout(section)
    form.addRow("Device:", qt.QComboBox())
    form.addRow("Model:", qt.QComboBox())
    opened = picture_of(slicerHost, panel, tmp_path / "open.png")
    section.collapsed = True
    folded = picture_of(slicerHost, panel, tmp_path / "folded.png")

    assert folded.shape[0] < opened.shape[0] / 2


def test_a_picture_that_cannot_be_written_is_an_error(slicerHost, tmp_path):
    with pytest.raises(OSError, match="could not be written"):
        slicerHost.render(qt.QLabel("x"), tmp_path / "no" / "folder.png")
