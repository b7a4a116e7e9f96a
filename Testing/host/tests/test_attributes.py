"""The host is as strict about attributes as PythonQt: what passes here passes in Slicer."""

from __future__ import annotations

import ctk
import numpy as np
import pytest
import qt


def test_a_property_is_a_value_not_a_method():
    button = qt.QPushButton("Apply")

    assert button.text == "Apply"
    with pytest.raises(TypeError, match="not callable"):
        button.text()


@pytest.mark.parametrize("name", ["parent", "children", "layout", "findChildren", "metaObject"])
def test_methods_that_are_not_properties_remain_methods(name):
    assert callable(getattr(qt.QWidget(), name))


def test_a_property_can_be_assigned():
    slider = ctk.ctkSliderWidget()
    slider.value = 2.5

    assert slider.value == pytest.approx(2.5)


def test_name_is_the_object_name():
    button = qt.QPushButton()
    button.name = "applyButton"

    assert button.objectName == button.name == "applyButton"


@pytest.mark.parametrize("name", ["colour", "my_state", "Text"])
def test_a_new_attribute_on_a_widget_is_refused(name):
    with pytest.raises(AttributeError, match="creating new attributes on C\\+\\+ objects is not allowed"):
        setattr(qt.QPushButton(), name, 1)


@pytest.mark.parametrize("name", ["clicked", "setText"])
def test_a_signal_or_a_method_cannot_be_overwritten(name):
    with pytest.raises(AttributeError, match="can not be overwritten"):
        setattr(qt.QPushButton(), name, print)


def test_a_missing_attribute_is_an_error():
    with pytest.raises(AttributeError, match="QPushButton has no attribute named 'caption'"):
        _ = qt.QPushButton().caption


def test_a_python_subclass_may_have_attributes():
    class Watcher(qt.QObject):
        def __init__(self):
            qt.QObject.__init__(self)
            self.seen = []

    assert Watcher().seen == []


@pytest.mark.parametrize("call", [lambda: qt.QPushButton(text="Apply"), lambda: qt.QLabel().setText(text="x")])
def test_keyword_arguments_are_refused(call):
    with pytest.raises(ValueError, match="does not support kwargs"):
        call()


@pytest.mark.parametrize("value", [None, "3"])
@pytest.mark.parametrize("widget", [qt.QSpinBox, ctk.ctkSliderWidget], ids=["whole", "real"])
def test_a_number_refuses_none_and_text(widget, value):
    with pytest.raises(AttributeError, match="does not accept an object of type"):
        widget().value = value


@pytest.mark.parametrize("value", [np.float32(3), np.int64(3), np.uint8(3), 3.9])
def test_an_integer_accepts_numpy_scalars_and_drops_fractions(value):
    box = qt.QSpinBox()
    box.value = value

    assert box.value == 3


def test_text_accepts_anything_even_none():
    label = qt.QLabel()
    label.text = None

    assert label.text == "None"


def test_a_read_only_property_cannot_be_assigned():
    with pytest.raises(AttributeError, match="is not writable"):
        qt.QWidget().width = 10


def test_wrong_arguments_raise_value_error():
    with pytest.raises(ValueError, match="wrong arguments"):
        qt.QLabel().setText(1, 2)


def test_isinstance_recognizes_only_the_class_itself():
    button = qt.QPushButton()

    assert isinstance(button, qt.QPushButton)
    assert not isinstance(button, qt.QWidget)
    assert button.inherits("QWidget")
    assert button.className() == "QPushButton"


def test_lists_are_returned_as_tuples(scene):
    import slicer

    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]

    assert selector.nodeTypes == ("vtkMRMLScalarVolumeNode",)
    assert isinstance(qt.QWidget().children(), tuple)


def test_a_widget_is_always_the_same_python_object():
    widget = qt.QWidget()
    button = qt.QPushButton(widget)

    assert widget.children()[0] is button
    assert button.parent() is widget


def test_children_are_found_by_class_name_and_name():
    widget = qt.QWidget()
    button = qt.QPushButton(qt.QFrame(widget))
    button.name = "deep"

    assert widget.findChildren(qt.QAbstractButton) == (button,)
    assert widget.findChild("QPushButton", "deep") is button
    assert widget.findChild(qt.QPushButton, "other") is None


def test_a_dynamic_property_can_be_read_by_property_or_as_an_attribute():
    label = qt.QLabel()
    label.setProperty("SlicerParameterName", "scale")

    assert label.property("SlicerParameterName") == label.SlicerParameterName == "scale"


def test_using_a_destroyed_widget_is_an_error():
    widget = qt.QWidget()
    button = qt.QPushButton(widget)
    widget.delete()

    assert not button
    with pytest.raises(ValueError, match="destroyed QPushButton"):
        _ = button.text


def test_an_enum_value_is_a_number_of_its_class():
    assert qt.QProcess.NotRunning == 0
    assert qt.Qt.AlignLeft | qt.Qt.AlignTop == 33
    with pytest.raises(AttributeError):
        _ = qt.QProcess.ProcessState


def test_an_enum_property_can_be_assigned():
    slider = qt.QSlider()
    slider.orientation = qt.Qt.Horizontal

    assert slider.orientation == qt.Qt.Horizontal


@pytest.mark.parametrize(
    ("owner", "name"),
    [("QCheckBox", "checkStateChanged"), ("QFormLayout", "setRowVisible"), ("Qt", "SingleShotConnection")],
)
def test_members_that_exist_only_in_qt_6_are_hidden(owner, name):
    assert not hasattr(getattr(qt, owner), name)


@pytest.mark.parametrize("name", ["QRegExp", "QDesktopWidget", "QTextCodec", "QStringDecoder", "QKeyCombination"])
def test_a_class_that_exists_in_only_one_version_of_qt_is_hidden(name):
    assert not hasattr(qt, name)


@pytest.mark.parametrize("name", ["MidButton", "ImMicroFocus"])
def test_an_enum_value_that_exists_in_only_one_version_of_qt_is_hidden(name):
    assert not hasattr(qt.Qt, name)


def test_using_a_widget_that_the_host_lacks_is_an_error():
    with pytest.raises(RuntimeError, match="The test host has no ctkDoubleRangeSlider"):
        ctk.ctkDoubleRangeSlider()
