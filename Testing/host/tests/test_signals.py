"""Signals and slots as PythonQt knows them."""

from __future__ import annotations

import pytest
import qt


def test_a_slot_can_be_connected_by_name_or_by_attribute():
    button, seen = qt.QPushButton(), []

    assert button.connect("clicked(bool)", seen.append)
    assert button.clicked.connect(lambda: seen.append("attribute"))
    button.click()

    assert seen == [False, "attribute"]


def test_a_slot_receives_as_many_arguments_as_it_accepts():
    box, seen = qt.QSpinBox(), []
    box.valueChanged.connect(lambda: seen.append(()))
    box.valueChanged.connect(lambda *arguments: seen.append(arguments))
    box.valueChanged.connect(lambda value="default": seen.append(value))
    box.value = 7

    assert seen == [(), (7,), 7]


def test_the_signature_limits_the_arguments():
    button, seen = qt.QPushButton(), []
    button.connect("clicked()", lambda *arguments: seen.append(arguments))
    button.click()

    assert seen == [()]


def test_a_signal_that_does_not_exist_is_printed_and_recorded(slicerHost, capsys):
    assert qt.QPushButton().connect("nosuch()", print) is False

    assert "signal 'nosuch()' does not exist on QPushButton" in capsys.readouterr().err
    assert slicerHost.records.bad_connections == ["QPushButton.nosuch()"]
    slicerHost.records.clear()


def test_an_exception_in_a_slot_is_discarded_and_recorded(slot_errors, capsys):
    button = qt.QPushButton()
    button.clicked.connect(lambda: 1 // 0)
    button.click()

    assert [type(error) for error in slot_errors] == [ZeroDivisionError]
    assert "ZeroDivisionError" in capsys.readouterr().err
    slot_errors.clear()


def test_an_exception_in_a_timer_is_recorded(slicerHost, slot_errors):
    qt.QTimer.singleShot(0, lambda: 1 // 0)

    assert slicerHost.wait_until(lambda: slot_errors, timeout=5)
    slot_errors.clear()


def test_an_exception_in_an_observer_is_recorded(scene, slot_errors):
    node = scene.AddNewNodeByClass("vtkMRMLTextNode")
    node.AddObserver("ModifiedEvent", lambda *_: 1 // 0)
    node.Modified()

    assert [type(error) for error in slot_errors] == [ZeroDivisionError]
    slot_errors.clear()


def test_a_disconnected_slot_is_not_called():
    class Counter:
        count = 0

        def step(self):
            self.count += 1

    button, counter = qt.QPushButton(), Counter()
    button.clicked.connect(counter.step)
    button.click()

    assert button.disconnect("clicked()", counter.step)
    assert not button.clicked.disconnect(counter.step)
    button.click()
    assert counter.count == 1


def test_a_signal_is_emitted_by_calling_it():
    button, seen = qt.QPushButton(), []
    button.toggled.connect(seen.append)
    button.toggled(True)
    button.toggled.emit(False)

    assert seen == [True, False]


def test_only_a_callable_can_be_connected():
    with pytest.raises(ValueError, match="callable only"):
        qt.QPushButton().clicked.connect("onClicked")


def test_connections_are_removed_with_their_sender():
    from host import signals

    before = signals.connection_count()
    button = qt.QPushButton()
    button.clicked.connect(print)
    assert signals.connection_count() == before + 1
    button.delete()

    assert signals.connection_count() == before


def test_signals_can_be_blocked():
    box, seen = qt.QSpinBox(), []
    box.valueChanged.connect(seen.append)
    blocked = box.blockSignals(True)
    box.value = 3
    box.blockSignals(blocked)

    assert seen == []
