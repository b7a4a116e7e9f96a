"""The comparison labels its views, and restores the previous views when it ends."""

from __future__ import annotations

import mrml_volumes
import numpy as np
import pytest
import slicer
import slicer.util
from ArSSRPanel import views
from ArSSRPanel.compare import VIEWS, CompareMode, Comparison
from ArSSRPanel.nodes import geometryOf
from ArSSRPanel.outputs import showUncertainty
from ArSSRPanel.sharpened import sharpenedOrientation
from ArSSRPanel.swipe import crosshairNode
from ArSSRPanel.windowing import anatomyWindow
from slice_views import label, shown, widget

from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.volume import Volume


@pytest.fixture
def comparison():
    made = Comparison()
    yield made
    made.stop()


def test_every_view_is_labeled_with_method_and_spacing_first(pair, comparison):
    comparison.start(*pair)

    assert [label(name) for name in VIEWS[:2]] == ["Cubic spline, 0.7 x 1.2 mm", "ArSSR, 0.7 x 1.2 mm"]


def test_the_spacing_is_along_the_axes_of_the_view_even_after_rotating_it(pair, comparison):
    comparison.start(*pair)
    widget("Yellow").mrmlSliceNode().SetOrientation("Axial")

    assert label("Yellow") == "ArSSR, 0.7 x 0.7 mm"
    comparison.stop()
    widget("Yellow").mrmlSliceNode().SetOrientation("Sagittal")
    assert not label("Yellow")


def test_a_label_does_not_show_that_an_isotropic_spacing_was_rounded(scene, comparison):
    coarse = VolumeGeometry((12, 11, 9), (0.71875, 0.71875, 4.0))
    fine = coarse.resized((12, 11, 50))

    comparison.start(*(mrml_volumes.add_volume(grid, mrml_volumes.blob(grid)) for grid in (coarse, fine)))

    assert label("Yellow") == "ArSSR, 0.72 x 0.72 mm"
    assert comparison.helpers[0].GetName() == "Cubic 0.72 x 0.72 x 0.72 mm: T1"


@pytest.mark.parametrize("kind", ["axial", "oblique"])
def test_an_oblique_volume_is_labeled_with_its_own_spacing(scene, kind):
    volume = mrml_volumes.add_volume(mrml_volumes.grid(kind), mrml_volumes.blob(mrml_volumes.grid(kind)))
    node = widget("Red").mrmlSliceNode()
    node.RotateToVolumePlane(volume)

    lengths = [float(text) for text in views.spacingInView(node, volume).removesuffix(" mm").split(" x ")]

    assert set(lengths) <= {float(f"{length:.3g}") for length in volume.GetSpacing()}


def test_the_difference_states_its_scale(pair, comparison):
    comparison.start(*pair)

    display = shown("Green").GetDisplayNode()
    half = f"{display.GetWindow() / 2:.3g}"
    assert label("Green") == f"ArSSR minus cubic\nblack -{half}, gray 0, white +{half}"
    assert display.GetLevel() == 0


@pytest.fixture
def uncertain(pair):
    """The uncertainty of the result, from 0 to 20."""
    array = np.linspace(0, 20, slicer.util.arrayFromVolume(pair[1]).size, dtype=np.float32)
    volume = Volume(array.reshape(slicer.util.arrayFromVolume(pair[1]).shape), geometryOf(pair[1]))
    return showUncertainty(pair[1], volume)


def test_the_uncertainty_is_overlaid_on_the_result_with_its_scale(pair, uncertain, comparison):
    comparison.start(*pair)

    composite, display = views.compositeOf(widget("Yellow")), uncertain.GetDisplayNode()
    assert (composite.GetForegroundVolumeID(), shown("Yellow")) == (uncertain.GetID(), pair[1])
    assert composite.GetForegroundOpacity() > 0
    assert label("Yellow") == "ArSSR, 0.7 x 1.2 mm\ncolored: uncertainty 9.95 to 19.9"
    assert (display.GetApplyThreshold(), round(display.GetLowerThreshold(), 2)) == (1, 9.95)
    assert {views.compositeOf(widget(name)).GetForegroundVolumeID() for name in ("Red", "Green")} == {None}


def test_the_labels_fit_the_views_of_a_small_screen(pair, uncertain, comparison):
    comparison.start(*pair)

    # Slicer's letters are about 7 pixels wide, and each of three views beside the panel about 290.
    assert max(len(line) for name in VIEWS for line in label(name).split("\n")) <= 40


def test_a_flipped_view_has_no_overlay_while_it_shows_the_input(pair, uncertain, comparison):
    comparison.start(*pair)
    composite = views.compositeOf(widget("Yellow"))

    opacities = [composite.GetForegroundOpacity() for _ in range(2) if comparison.flip() is None]

    assert opacities[0] == 0 < opacities[1]


def test_the_display_of_the_uncertainty_is_restored(pair, uncertain, comparison):
    display = uncertain.GetDisplayNode()
    facts = (display.GetApplyThreshold, display.GetLowerThreshold, display.GetUpperThreshold, display.GetAutoThreshold)
    before = [fact() for fact in facts]

    comparison.start(*pair)
    comparison.stop()

    assert [fact() for fact in facts] == before


def test_the_labels_are_removed_with_the_comparison(pair, comparison):
    comparison.start(*pair)
    comparison.stop()

    assert [label(name) or "" for name in VIEWS] == ["", "", ""]


def test_thick_axial_slices_are_shown_from_the_side(pair, comparison):
    comparison.start(*pair)

    assert widget("Yellow").mrmlSliceNode().GetOrientation() == "Sagittal"


@pytest.mark.parametrize(
    ("scale", "expected"),
    [((1, 1, 3), "Sagittal"), ((1, 3, 1), "Sagittal"), ((3, 1, 1), "Axial"), ((2, 2, 2), "Axial")],
)
def test_the_plane_contains_the_axis_that_was_sharpened(scene, scale, expected):
    coarse = VolumeGeometry((8, 8, 8), (2.0, 2.0, 2.0))
    volumes = [mrml_volumes.add_volume(grid, np.zeros(grid.shape)) for grid in (coarse, coarse.upsampled(scale))]

    assert sharpenedOrientation(*volumes) == expected


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [((1, 1, 5), "Sagittal"), ((1, 5, 1), "Sagittal"), ((5, 1, 1), "Axial"), ((1, 1, 1.02), "Axial")],
)
def test_the_plane_cuts_through_thick_slices_if_all_axes_were_sharpened_alike(scene, spacing, expected):
    coarse = VolumeGeometry((8, 8, 8), spacing)
    volumes = [mrml_volumes.add_volume(grid, np.zeros(grid.shape)) for grid in (coarse, coarse.upsampled(2))]

    assert sharpenedOrientation(*volumes) == expected


def test_a_view_of_an_oblique_volume_follows_its_axes(scene, comparison):
    coarse = mrml_volumes.grid("oblique")
    fine = coarse.upsampled((1, 1, 3))
    pair = [mrml_volumes.add_volume(grid, mrml_volumes.blob(grid)) for grid in (coarse, fine)]

    comparison.start(*pair)

    matrix = slicer.util.arrayFromVTKMatrix(widget("Red").mrmlSliceNode().GetSliceToRAS())[:3, :3]
    axes = mrml_volumes.ijk_to_ras(pair[0])[:3, :3] / coarse.spacing
    np.testing.assert_allclose(np.sort(np.abs(matrix.T @ axes).ravel())[-3:], 1, atol=1e-6)


def test_the_volume_fills_its_view_although_the_size_of_views_is_set_late(pair, comparison):
    comparison.start(*pair)

    node = widget("Red").mrmlSliceNode()
    assert node.GetDimensions()[:2] == (400, 400)
    assert min(node.GetFieldOfView()[:2]) >= 24 - 1e-6  # five slices of 4.8 mm


def test_the_positions_of_views_are_restored(pair, comparison):
    node = widget("Red").mrmlSliceNode()
    slicer.util.setSliceViewerLayers(background=pair[0], fit=True)
    slicer.app.processEvents()
    node.GetSliceToRAS().DeepCopy(mrml_volumes.vtk_matrix(mrml_volumes.ijk_to_ras(mrml_oblique())))
    node.SetFieldOfView(31, 32, 1)
    node.SetXYZOrigin(3, 4, 0)
    node.UpdateMatrices()
    before = slicer.util.arrayFromVTKMatrix(node.GetXYToRAS()).copy()

    comparison.start(*pair)
    assert not np.allclose(slicer.util.arrayFromVTKMatrix(node.GetXYToRAS()), before)
    comparison.stop()

    np.testing.assert_allclose(slicer.util.arrayFromVTKMatrix(node.GetXYToRAS()), before, atol=1e-9)


def mrml_oblique():
    return mrml_volumes.add_volume(mrml_volumes.grid("oblique").resized((5, 5, 5)), np.zeros((5, 5, 5)))


def test_window_and_level_are_restored(pair, comparison):
    display = pair[1].GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevel(77, 33)

    comparison.start(*pair)
    assert display.GetWindow() != 77
    comparison.stop()

    assert (display.GetWindow(), display.GetLevel(), display.GetAutoWindowLevel()) == (77, 33, 0)


def test_window_and_level_change_in_both_views(pair, comparison):
    comparison.start(*pair)

    shown("Red").GetDisplayNode().SetWindowLevel(50, 60)

    assert (shown("Yellow").GetDisplayNode().GetWindow(), shown("Yellow").GetDisplayNode().GetLevel()) == (50, 60)


def test_levels_depend_on_the_brain_and_not_on_subcutaneous_fat():
    k, j, i = np.meshgrid(*[np.linspace(-1.2, 1.2, 60)] * 3, indexing="ij")
    radius = np.sqrt(k**2 + j**2 + i**2)
    brain = np.where(i < 0, 90.0, 130.0)
    head = np.where(radius < 0.8, brain, np.where((radius > 0.9) & (radius < 1), 400.0, 3.0))

    window, level = anatomyWindow(head)

    assert level + window / 2 < 180
    assert 60 < level - window / 2 < 95


@pytest.mark.parametrize("array", [np.zeros((4, 4, 4)), np.full((3, 3, 3), np.nan), np.full((4, 4, 4), 7, np.int16)])
def test_a_volume_without_anatomy_also_has_a_window(array):
    window, level = anatomyWindow(array)

    assert window > 0
    assert np.isfinite(level)


def test_the_key_flips_between_before_and_after(pair, comparison):
    comparison.start(*pair, mode=CompareMode.FLICKER)
    assert label("Red").startswith("ArSSR")

    comparison._shortcut.activated.emit()
    assert (shown("Red").GetName().startswith("Cubic"), label("Red").startswith("Cubic")) == (True, True)

    comparison.flip()
    assert shown("Red") is pair[1]


def test_the_divider_follows_the_mouse(pair, comparison):
    comparison.start(*pair, mode=CompareMode.SWIPE)
    node = widget("Red").mrmlSliceNode()
    width = node.GetDimensions()[0]

    crosshairNode().SetCursorPositionXYZ([0.25 * width, 100, 0], node)

    foreground = slicer.mrmlScene.GetNodeByID(views.compositeOf(widget("Red")).GetForegroundVolumeID())
    assert comparison._swipe.position == pytest.approx(0.25)
    assert leftEdge(foreground, node) == pytest.approx(max(0.25 * width, leftEdge(pair[1], node)), abs=2)


def leftEdge(volume, node) -> float:
    """Return the horizontal position of the first pixel of a view that shows a volume."""
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    corners = np.array([(*bounds[::2], 1), (*bounds[1::2], 1)])
    return float((corners @ np.linalg.inv(slicer.util.arrayFromVTKMatrix(node.GetXYToRAS())).T)[:, 0].min())


def test_a_view_with_a_divider_is_fitted_to_the_volume_alone(pair, comparison):
    comparison.start(*pair, mode=CompareMode.SWIPE)
    node, logic = widget("Red").mrmlSliceNode(), widget("Red").sliceLogic()
    fitted = node.GetFieldOfView()
    for position in (0.5, 0.1):
        comparison._swipe.moveTo(position)
        node.SetFieldOfView(300, 300, 1)
        node.UpdateMatrices()
        logic.FitSliceToBackground()

        np.testing.assert_allclose(node.GetFieldOfView()[:2], fitted[:2], rtol=0.05)


def test_right_of_the_volume_a_divider_hides_nothing(pair, comparison):
    comparison.start(*pair, mode=CompareMode.SWIPE)
    node = widget("Red").mrmlSliceNode()
    node.SetFieldOfView(400, 400, 1)
    node.UpdateMatrices()

    comparison._swipe.moveTo(0.9)
    assert views.compositeOf(widget("Red")).GetForegroundVolumeID() is None
    comparison._swipe.moveTo(0.5)
    assert views.compositeOf(widget("Red")).GetForegroundVolumeID() is not None


def test_right_of_the_divider_is_what_the_view_of_the_result_shows(pair, comparison, slicerHost):
    comparison.start(*pair, mode=CompareMode.SWIPE)
    divided = slicerHost.view_image("Red", size=(400, 400), fit=False)
    comparison._swipe.stop()
    views.compositeOf(widget("Red")).SetBackgroundVolumeID(pair[1].GetID())
    whole = slicerHost.view_image("Red", size=(400, 400), fit=False)

    difference = np.abs(divided[:, 205:].astype(int) - whole[:, 205:])
    assert difference.max() <= 2
    assert whole[:, 205:].std() > 10


def test_the_key_exchanges_the_sides_of_a_divider(pair, comparison, slicerHost):
    comparison.start(*pair, mode=CompareMode.SWIPE)
    cubic = comparison.helpers[0]
    assert (shown("Red"), label("Red")) == (cubic, "Cubic spline, 0.7 x 1.2 mm  |  ArSSR, 0.7 x 1.2 mm")
    before = slicerHost.view_image("Red", size=(400, 400), fit=False)

    comparison._shortcut.activated.emit()
    assert (shown("Red"), label("Red")) == (pair[1], "ArSSR, 0.7 x 1.2 mm  |  Cubic spline, 0.7 x 1.2 mm")
    exchanged = slicerHost.view_image("Red", size=(400, 400), fit=False)
    comparison._swipe.moveTo(0.0)
    whole = slicerHost.view_image("Red", size=(400, 400), fit=False)
    assert np.abs(exchanged[:, 205:].astype(int) - before[:, 205:]).max() > 2
    assert np.abs(exchanged[:, 205:].astype(int) - whole[:, 205:]).max() <= 2
    first = int(leftEdge(pair[1], widget("Red").mrmlSliceNode())) + 5  # right of the line of the divider
    assert np.abs(before[:, first:195].astype(int) - whole[:, first:195]).max() <= 2

    comparison.flip()
    assert (shown("Red"), label("Red").startswith("Cubic")) == (cubic, True)


def test_a_swipe_leaves_nothing_behind(pair, comparison):
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    comparison.start(*pair, mode=CompareMode.SWIPE)
    comparison.stop()

    assert slicer.mrmlScene.GetNumberOfNodes() == nodes
    assert views.compositeOf(widget("Red")).GetForegroundVolumeID() is None
