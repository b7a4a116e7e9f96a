"""The comparison follows the choices in the panel."""

from __future__ import annotations

import mrml_volumes
import pytest
import slicer
from ArSSRPanel import compare
from ArSSRPanel.attributes import linkInput
from ArSSRPanel.compare import VIEWS, CompareMode
from ArSSRPanel.cubic import cubicArray
from ArSSRPanel.nodes import geometryOf
from slice_views import helpers, label, shown


@pytest.fixture
def comparing(pair, panel, slicerHost):
    """A panel that compares a result with its scan; there is another result, and a volume that is none."""
    before, after = pair
    grid = geometryOf(before).upsampled((1, 1, 2))
    another = mrml_volumes.add_volume(grid, mrml_volumes.blob(grid), name="Another result")
    for result in (after, another):
        result.SetAttribute("ArSSR.Model", "arssr3")
        linkInput(result, before)
    panel._parameterNode.result = after
    slicerHost.click(panel.ui.compareButton)
    assert shown("Yellow") is after
    return panel, another, before


def test_a_comparison_follows_to_the_result_that_is_chosen(comparing):
    panel, another, _ = comparing

    panel._parameterNode.result = another

    assert shown("Yellow") is another
    assert label("Yellow") == "ArSSR, 0.7 x 2.4 mm"
    assert [node.GetImageData().GetDimensions() for node in helpers()] == [another.GetImageData().GetDimensions()] * 2


def test_a_comparison_ends_if_the_chosen_result_has_no_scan(comparing):
    panel, _, plain = comparing

    panel._parameterNode.result = plain

    assert (panel.ui.compareButton.checked, panel.ui.compareButton.enabled) == (False, False)
    assert helpers() == []


def test_a_comparison_ends_when_a_run_shows_its_result(comparing):
    panel, another, _ = comparing

    panel.onResult(another)

    assert not panel.ui.compareButton.checked
    assert {shown(name) for name in VIEWS} == {another}


def test_the_last_of_two_choices_counts_even_while_the_first_is_interpolated(comparing, monkeypatch):
    panel, another, _ = comparing
    first, interpolated = panel._parameterNode.result, []

    def interrupted(*arguments, **options):
        interpolated.append(arguments[1])
        if len(interpolated) == 1:
            panel._parameterNode.result = first
        return cubicArray(*arguments, **options)

    monkeypatch.setattr(compare, "cubicArray", interrupted)

    panel._parameterNode.result = another

    assert interpolated == [another, first]
    assert shown("Yellow") is first
    assert len(helpers()) == 2


def test_a_comparison_that_ends_while_it_is_interpolated_does_not_appear(comparing, monkeypatch):
    panel, another, _ = comparing
    layout = slicer.app.layoutManager().layout

    def interrupted(*arguments, **options):
        panel.ui.compareButton.checked = False
        return cubicArray(*arguments, **options)

    monkeypatch.setattr(compare, "cubicArray", interrupted)

    panel._parameterNode.result = another

    assert helpers() == []
    assert slicer.app.layoutManager().layout != layout


@pytest.mark.parametrize("mode", list(CompareMode))
def test_reloading_the_module_during_a_comparison_leaves_nothing_behind(pair, panel, mode, slicerHost):
    before, after = pair
    after.SetAttribute("ArSSR.Model", "arssr2")
    linkInput(after, before)
    layout, nodes = slicer.app.layoutManager().layout, slicer.mrmlScene.GetNumberOfNodes()
    panel._parameterNode.result = after
    panel._parameterNode.compareMode = mode
    slicerHost.click(panel.ui.compareButton)
    assert label("Red")
    assert slicer.app.layoutManager().layout != layout

    panel.onReload()

    assert slicer.app.layoutManager().layout == layout
    assert not label("Red")
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes
    assert not slicer.modules.ArSSRWidget.ui.compareButton.checked
