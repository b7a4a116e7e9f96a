"""The CTK widgets of the host behave as CTK's."""

from __future__ import annotations

import ctk
import pytest
import qt


@pytest.mark.parametrize(
    ("name", "default"),
    [("value", 0.0), ("minimum", 0.0), ("maximum", 99.0), ("decimals", 2), ("singleStep", 1.0)],
)
def test_the_defaults_of_a_slider_are_those_of_ctk(name, default):
    assert getattr(ctk.ctkSliderWidget(), name) == default


def test_a_slider_keeps_more_decimals_than_it_shows():
    slider = ctk.ctkSliderWidget()
    slider.value = 1.23456

    assert slider.value == pytest.approx(1.23456, abs=1e-12)


def test_a_value_is_limited_and_emitted_once():
    made, seen = ctk.ctkSliderWidget(), []
    made.maximum = 8
    made.minimum = 1
    made.valueChanged.connect(seen.append)
    made.value = 20
    made.value = 30

    assert (made.value, seen) == (8, [8.0])


def test_dragging_a_slider_moves_in_steps():
    slider = ctk.ctkSliderWidget()
    slider.minimum, slider.maximum, slider.singleStep = 1, 8, 0.5
    slider.findChild(qt.QSlider).value = 123

    assert slider.value == pytest.approx(2.0)  # 1 + 0.123 * 7 = 1.861, to the next half


def test_a_collapsed_section_takes_no_more_room_than_its_header():
    panel = qt.QWidget()
    column = qt.QVBoxLayout(panel)
    section = ctk.ctkCollapsibleButton("Advanced", panel)
    section.collapsed = True
    label = qt.QLabel("a text that is wrapped in a narrow dock " * 20, section)
    label.wordWrap = True
    qt.QFormLayout(section).addRow(label)
    column.addWidget(section)

    assert panel.heightForWidth(200) < 60
    section.collapsed = False
    assert panel.heightForWidth(200) > 200


def test_unfolding_a_section_keeps_hidden_widgets_hidden():
    panel = qt.QWidget()
    section = ctk.ctkCollapsibleButton("Advanced", panel)
    shown, hidden = qt.QLabel("shown", section), qt.QLabel("hidden", section)
    hidden.hide()
    section.collapsed = True
    folded = (shown.isHidden(), hidden.isHidden())
    section.collapsed = False

    assert folded == (True, True)
    assert (shown.isHidden(), hidden.isHidden()) == (False, True)


def test_folding_a_section_emits_a_signal():
    section, seen = ctk.ctkCollapsibleButton("Advanced"), []
    section.connect("contentsCollapsed(bool)", seen.append)
    section.collapsed = True
    section.click()

    assert seen == [True, False]
    assert section.checked
