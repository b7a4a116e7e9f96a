"""The .ui file supports keyboards, screen readers and translation; it is read as XML, without starting the panel."""

from __future__ import annotations

import ast
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[2] / "ArSSR"
ROOT = ET.parse(MODULE / "Resources" / "UI" / "ArSSR.ui").getroot()
WIDGETS = {widget.get("name"): widget for widget in ROOT.iter("widget")}
FOR_THE_USER = {
    "QCheckBox", "QComboBox", "QDoubleSpinBox", "QPlainTextEdit", "QProgressBar", "QPushButton", "QTextBrowser",
    "QToolButton", "ctkSliderWidget", "qMRMLNodeComboBox",
}  # fmt: skip
USED = {name: widget for name, widget in WIDGETS.items() if widget.get("class") in FOR_THE_USER}


def value(widget, name):
    """Return the text of a property, or None."""
    for item in widget.findall("property"):
        if item.get("name") == name:
            return item[0].text
    return None


@pytest.mark.parametrize("name", sorted(USED))
def test_a_widget_has_a_tool_tip(name):
    assert len(value(USED[name], "toolTip") or "") > 10


@pytest.mark.parametrize("name", sorted(set(USED) - {"progressBar"}))
def test_a_widget_is_reached_with_the_tab_key(name):
    assert name in [stop.text for stop in ROOT.iter("tabstop")]


def test_every_selector_gets_the_scene():
    receivers = {connection.findtext("receiver") for connection in ROOT.iter("connection")}

    assert receivers == {name for name, widget in WIDGETS.items() if widget.get("class") == "qMRMLNodeComboBox"}


def test_no_two_labels_share_a_key():
    texts = [value(widget, "text") or "" for widget in WIDGETS.values()]
    keys = [text[text.index("&") + 1].lower() for text in texts if "&" in text]

    assert len(keys) == len(set(keys))


def test_only_the_sections_of_every_run_are_open():
    sections = {name: widget for name, widget in WIDGETS.items() if widget.get("class") == "ctkCollapsibleButton"}
    folded = {name for name, widget in sections.items() if value(widget, "collapsed") == "true"}

    assert sections.keys() - folded == {"volumesButton", "resolutionButton", "compareCollapsibleButton"}


def test_every_bound_widget_has_its_parameter():
    tree = ast.parse((MODULE / "ArSSR.py").read_text(encoding="utf-8"))
    node = next(item for item in tree.body if getattr(item, "name", "") == "ArSSRParameterNode")
    parameters = {item.target.id for item in node.body if isinstance(item, ast.AnnAssign)}
    bound = {value(widget, "SlicerParameterName") for widget in WIDGETS.values()} - {None}

    assert bound <= parameters
    assert parameters - bound == {"model", "device"}  # their items change, so the panel fills them


def test_texts_for_people_can_be_translated():
    strings = [item for item in ROOT.iter("string") if item.get("notr") != "true" and (item.text or "").strip()]
    parents = {child: parent for parent in ROOT.iter() for child in parent}
    names = {parents[item].get("name") for item in strings if parents[item].tag == "property"}

    assert names <= {
        "text", "toolTip", "suffix", "specialValueText", "noneDisplay", "placeholderText", "baseName",
        "SlicerParameterName", "styleSheet",
    }  # fmt: skip


@pytest.mark.parametrize("path", sorted(MODULE.glob("**/*.py")), ids=lambda path: path.name)
def test_nothing_heavy_is_imported_at_file_scope(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])

    heavy = {"torch", "SimpleITK", "scipy", "safetensors", "psutil", "pydicom", "nibabel"}
    assert imported & heavy == set()
