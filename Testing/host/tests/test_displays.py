"""What the user would see is recorded; questions get an answer, and no test waits for a user."""

from __future__ import annotations

import logging

import pytest
import qt
import slicer
from host.records import Message


@pytest.mark.parametrize(
    ("display", "kind"), [("infoDisplay", "info"), ("warningDisplay", "warning"), ("errorDisplay", "error")]
)
def test_a_message_is_recorded_and_logged_not_shown(messages, caplog, display, kind):
    with caplog.at_level(logging.INFO):
        getattr(slicer.util, display)("The volume is empty.", windowTitle="ArSSR")

    assert messages == [Message(kind, "The volume is empty.", "ArSSR")]
    assert "The volume is empty." in caplog.text


def test_a_question_is_answered_with_yes_as_in_tests_of_slicer(messages):
    assert slicer.util.confirmOkCancelDisplay("Install?")
    assert messages == [Message("confirm", "Install?")]


@pytest.mark.parametrize("display", ["confirmOkCancelDisplay", "confirmYesNoDisplay", "confirmRetryCloseDisplay"])
def test_a_test_can_answer_a_question_with_no(slicerHost, display):
    slicerHost.answer(False)

    assert not getattr(slicer.util, display)("Install?")
    assert getattr(slicer.util, display)("Install?")


def test_the_status_bar_is_recorded(messages):
    assert slicer.util.showStatusMessage("Upsampling", 1000)

    assert messages == [Message("status", "Upsampling")]


def test_an_error_in_try_with_error_display_is_raised_as_in_tests_of_slicer(messages):
    with pytest.raises(ZeroDivisionError), slicer.util.tryWithErrorDisplay("Failed.", waitCursor=True):
        _ = 1 // 0

    assert messages == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda: qt.QMessageBox.question(None, "ArSSR", "Really?"),
        lambda: qt.QFileDialog.getOpenFileName(None, "Open"),
        lambda: qt.QDialog().exec_(),
    ],
)
def test_a_dialog_without_a_queued_answer_raises_instead_of_waiting(ask):
    with pytest.raises(RuntimeError, match=r"would wait for a user.*host\.answer"):
        ask()


def test_a_dialog_gives_the_queued_answer(slicerHost, messages):
    slicerHost.answer("/data/knee.nrrd")

    assert qt.QFileDialog.getOpenFileName(None, "Open a volume") == "/data/knee.nrrd"
    assert messages == [Message("dialog", "Open a volume", "QFileDialog.getOpenFileName")]


def test_no_browser_is_opened(messages):
    assert qt.QDesktopServices.openUrl(qt.QUrl("https://example.org/"))

    assert messages == [Message("url", "https://example.org/")]


def test_packages_are_recorded_not_installed(installs):
    slicer.util.pip_install("torch>=2.2 psutil")
    slicer.packaging.pip_install(["no-such-package"], blocking=True)

    assert [install.requirements for install in installs] == [("torch>=2.2", "psutil"), ("no-such-package",)]


def test_the_user_is_not_asked_about_installed_packages(installs, messages):
    slicer.packaging.pip_ensure(["numpy"], skip_in_testing=False)

    assert (installs, messages) == ([], [])


def test_missing_packages_are_installed_after_confirmation(installs, messages):
    slicer.packaging.pip_ensure(["no-such-package-here"], skip_in_testing=False, prompt_restart=False)

    assert [message.kind for message in messages] == ["confirm"]
    assert [install.requirements for install in installs] == [("no-such-package-here",)]


def test_nothing_is_installed_if_the_user_declines(slicerHost, installs):
    slicerHost.answer(False)
    with pytest.raises(RuntimeError, match="declined"):
        slicer.packaging.pip_ensure(["no-such-package-here"], skip_in_testing=False)

    assert installs == []


def test_no_package_is_requested_in_tests_by_default(installs):
    slicer.packaging.pip_ensure(["no-such-package-here"])

    assert installs == []


def test_sample_data_is_registered_not_downloaded():
    import SampleData

    details = {"sampleName": "Knee", "uris": "https://example.org/knee.nrrd", "fileNames": "knee.nrrd"}
    for _ in range(2):
        SampleData.SampleDataLogic.registerCustomSampleDataSource(category="HostTest", **details)

    registered = slicer.modules.sampleDataSources.pop("HostTest")
    assert [source.sampleName for source in registered] == ["Knee"]
