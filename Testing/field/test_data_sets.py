"""BIDS data sets that git-annex, DataLad or Git LFS has not fetched: missing scans are listed, others are upsampled."""

from __future__ import annotations

import json

import pytest

from ArSSRLib import write_volume
from ArSSRLib.cli import main

pytest.importorskip("bids2table", reason="bids2table is not installed (pip install bids2table)")
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
ANNEX = ".git/annex/objects/k4/vM/MD5E-s1--4d7a/MD5E-s1--4d7a"


@pytest.fixture
def data_set(tmp_path, phantom):
    """Return a data set with one complete scan, and one that the test replaces."""
    root = tmp_path / "raw"
    root.mkdir()
    (root / "dataset_description.json").write_text(json.dumps({"Name": "Phantoms", "BIDSVersion": "1.10.0"}))
    for subject in ("01", "02"):
        (root / f"sub-{subject}" / "anat").mkdir(parents=True)
        write_volume(phantom, root / f"sub-{subject}" / "anat" / f"sub-{subject}_T1w.nii.gz")
    return root


@pytest.fixture
def bids(data_set, tmp_path, tiny_weights, capsys):
    """Return a function that upsamples the data set, and returns the exit code and the output."""

    def run(*more, level="participant"):
        arguments = [str(data_set), str(tmp_path / "out"), level, "--scale", "1.2", "--device", "cpu", *more]
        code = main(["bids", *arguments, "--model", str(tiny_weights), "--skip-bids-validation"])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run


def results(tmp_path):
    return sorted(path.name[:6] for path in (tmp_path / "out").rglob("*.nii.gz"))


@pytest.mark.parametrize(
    ("unfetched", "told"),
    [
        (lambda path: path.symlink_to(f"../../{ANNEX}.nii.gz"), "git annex get"),
        (lambda path: path.symlink_to("nowhere.nii.gz"), "correct the link"),
        (lambda path: path.write_bytes(LFS), "git lfs pull"),
        (lambda path: path.write_bytes(b"/annex/objects/MD5E-s1--4d7a.nii.gz\n"), "git annex get"),
        (lambda path: path.write_bytes(f"../../{ANNEX}.nii.gz".encode()), "git annex get"),
    ],
)
def test_a_scan_that_was_not_fetched_is_named_and_counts_as_a_failure(data_set, bids, tmp_path, unfetched, told):
    scan = data_set / "sub-02" / "anat" / "sub-02_T1w.nii.gz"
    scan.unlink()
    unfetched(scan)

    code, printed = bids()

    assert code == 1
    assert told in printed
    assert "sub-02_T1w.nii.gz" in printed
    assert "1 of 2 scans are finished, 1 failed" in printed
    assert results(tmp_path) == ["sub-01"]


@pytest.mark.parametrize("pointer", [True, False])
@pytest.mark.parametrize("name", ["sub-02/anat/sub-02_T1w.json", "sub-02/sub-02_T1w.json"])
def test_a_sidecar_that_was_not_fetched_fails_the_scans_that_it_describes(data_set, bids, tmp_path, name, pointer):
    if pointer:
        (data_set / name).write_bytes(LFS)
    else:
        (data_set / name).symlink_to(f"../{ANNEX}.json")
    (data_set / "acq-other_T1w.json").symlink_to("gone.json")  # describes no scan in this data set

    code, printed = bids()

    assert code == 1
    assert ("git lfs pull" if pointer else "git annex get") in printed
    assert results(tmp_path) == ["sub-01"]


def test_a_folder_that_was_not_fetched_is_not_reported_as_a_missing_subject(data_set, bids):
    (data_set / "sub-03").symlink_to("../elsewhere/sub-03")
    (data_set / "sub-04" / "ses-1").mkdir(parents=True)
    (data_set / ".gitmodules").write_text('[submodule "sub-04/ses-1"]\n')

    code, printed = bids()

    assert code == 1
    assert "error: sub-03: is a link to a folder that does not exist" in printed
    assert "error: sub-04/ses-1: is empty, as a subdataset is before it is fetched" in printed
    assert "2 of 2 scans are finished, 0 failed, 0 left out, and 2 folders were not fetched" in printed
    assert bids("--participant-label", "01")[0] == 0


def test_the_report_names_folders_that_were_not_fetched(data_set, bids):
    bids()
    complete = bids(level="group")
    (data_set / "sub-03").symlink_to("../elsewhere/sub-03")

    code, printed = bids(level="group")

    assert complete[0] == 0
    assert code == 1
    assert "error: sub-03: is a link to a folder that does not exist" in printed


@pytest.mark.parametrize("folder", ["sub-03", "sub-03/ses-1/anat", "sub-01/ses-2"])
def test_an_empty_folder_is_named(data_set, bids, folder):
    (data_set / folder).mkdir(parents=True)

    code, printed = bids()

    assert code == 0
    assert f"{folder}: left out, because it is an empty folder" in printed


def test_a_session_that_is_a_subdataset_of_its_subject_is_named(data_set, bids):
    (data_set / "sub-03" / "ses-1").mkdir(parents=True)
    (data_set / "sub-03" / ".gitmodules").write_text('[submodule "ses-1"]\n')

    code, printed = bids()

    assert code == 1
    assert "error: sub-03/ses-1: is empty, as a subdataset is before it is fetched" in printed


def test_a_session_that_is_not_selected_need_not_be_fetched(data_set, bids, phantom):
    (data_set / "sub-01" / "ses-1" / "anat").mkdir(parents=True)
    write_volume(phantom, data_set / "sub-01" / "ses-1" / "anat" / "sub-01_ses-1_T1w.nii.gz")
    (data_set / "sub-01" / "ses-2").symlink_to("../elsewhere")

    assert bids("--session-label", "1")[0] == 0
    assert bids()[0] == 1


def test_a_data_set_of_which_nothing_was_fetched_is_refused_with_the_reason(data_set, bids):
    for subject in ("01", "02"):
        (data_set / f"sub-{subject}" / "anat" / f"sub-{subject}_T1w.nii.gz").unlink()
    (data_set / ".gitmodules").write_text("")

    code, printed = bids()

    assert code == 2
    assert "sub-01/anat is empty, as a subdataset is before it is fetched" in printed

    (data_set / "dataset_description.json").unlink()
    (data_set / "dataset_description.json").symlink_to(f"{ANNEX}.json")
    assert "fetch its content first" in bids()[1]


def test_a_sidecar_of_a_named_scan_that_was_not_fetched_causes_a_warning(data_set, capsys):
    scan = data_set / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    scan.with_name("sub-01_T1w.json").symlink_to(f"../../{ANNEX}.json")

    assert main(["info", str(scan)]) == 0
    said = capsys.readouterr().err
    assert "sub-01_T1w.json is a link to a file that does not exist" in said
    assert "the slice profile is unknown" in said
