"""``arssr bids`` writes derivatives of a data set, computes nothing twice, and does not write into the source."""

from __future__ import annotations

import json

import pytest

from ArSSRLib import read_volume, write_volume
from ArSSRLib.cli import main
from ArSSRLib.cohort import processing
from ArSSRLib.cohort.dataset import Scan, share_of

pytest.importorskip("bids2table", reason="bids2table is not installed (pip install bids2table)")
RESULT = "sub-01/ses-a/anat/sub-01_ses-a_run-02_res-0p45x0p55x1p25mm_desc-arssr_T1w.nii.gz"


@pytest.fixture
def data_set(phantom, tmp_path):
    """Two subjects: one with a session, a run, and a phase image; the other unreadable."""
    root = tmp_path / "raw"
    for folder in ("sub-01/ses-a/anat", "sub-02/anat"):
        (root / folder).mkdir(parents=True)
    (root / "dataset_description.json").write_text('{"Name": "Phantoms", "BIDSVersion": "1.10.0"}')
    (root / "T1w.json").write_text('{"SkullStripped": true, "PatientName": "nobody"}')
    write_volume(phantom, root / "sub-01/ses-a/anat/sub-01_ses-a_run-02_T1w.nii.gz")
    write_volume(phantom, root / "sub-01/ses-a/anat/sub-01_ses-a_part-phase_T2w.nii.gz")
    (root / "sub-02/anat/sub-02_T1w.nii.gz").write_text("not a volume")
    return root


@pytest.fixture
def bids(data_set, tmp_path, tiny_weights):
    def run(*arguments, level="participant"):
        words = [str(data_set), str(tmp_path / "out"), level, *arguments]
        try:
            return main(["bids", *words, "--scale", "2", "--device", "cpu", "--model", str(tiny_weights)])
        except SystemExit as leaving:
            return leaving.code

    return run


def files_of(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_an_unreadable_scan_is_named_the_rest_done_and_the_source_untouched(bids, data_set, tmp_path, capsys):
    before = files_of(data_set)

    code = bids()

    printed = capsys.readouterr().out
    assert code == 1
    assert "error: " in printed
    assert "sub-02_T1w.nii.gz" in printed
    assert "part-phase_T2w.nii.gz: left out" in printed
    results = files_of(tmp_path / "out")
    assert [name for name in results if name.endswith(".nii.gz")] == ["sub-01/ses-a/anat/" + RESULT.rpartition("/")[2]]
    assert files_of(data_set) == before


def test_the_sidecar_inherits_valid_fields_and_names_its_source(bids, tmp_path):
    assert bids("--participant-label", "01") == 0

    said = json.loads((tmp_path / "out" / RESULT.replace(".nii.gz", ".json")).read_text())
    assert said["SkullStripped"] is True
    assert said["Sources"] == ["bids:raw:sub-01/ses-a/anat/sub-01_ses-a_run-02_T1w.nii.gz"]
    assert "PatientName" not in said
    assert said["ArSSR"]["Measures"]["geometry_kept"] is True
    described = json.loads((tmp_path / "out" / "dataset_description.json").read_text())
    assert described["DatasetLinks"] == {"raw": "../raw"}
    assert described["GeneratedBy"][0]["Name"] == "ArSSR"


def test_a_finished_result_is_kept_and_a_damaged_one_computed_again(bids, tmp_path, monkeypatch):
    assert bids("--participant-label", "01") == 0
    result = tmp_path / "out" / RESULT
    first = result.read_bytes()
    voxels = read_volume(result)
    with monkeypatch.context() as patch:
        patch.setattr(processing, "carry_out", lambda *_, **__: pytest.fail("was computed again"))
        assert bids("--participant-label", "01") == 0
    assert result.read_bytes() == first

    write_volume(voxels.with_array(voxels.array + 1), result, overwrite=True)
    assert bids("--participant-label", "01") == 0

    assert (read_volume(result).array == voxels.array).all()


def test_a_result_of_another_input_is_replaced_only_on_request(bids, data_set, phantom, tmp_path, capsys):
    assert bids("--participant-label", "01") == 0
    scan = data_set / "sub-01/ses-a/anat/sub-01_ses-a_run-02_T1w.nii.gz"
    write_volume(phantom.with_array(phantom.array * 2), scan, overwrite=True)

    assert bids("--participant-label", "01") == 1
    assert "a different input; choose another folder, or add --overwrite" in capsys.readouterr().out
    assert bids("--participant-label", "01", "--overwrite") == 0


def test_group_waits_until_every_scan_has_a_result_or_has_failed(bids, tmp_path, capsys):
    bids("--participant-label", "01")
    assert bids(level="group") == 1
    assert "sub-02_T1w.nii.gz: has no result yet" in capsys.readouterr().out
    assert not (tmp_path / "out" / "index.html").exists()
    assert bids("--participant-label", "01", level="group") == 0


def test_only_the_participant_level_needs_a_resolution(data_set, tmp_path, capsys):
    words = ["bids", str(data_set), str(tmp_path / "out")]

    assert main([*words, "participant"]) == 2
    assert "needs a target resolution" in capsys.readouterr().err
    assert main([*words, "group"]) == 2  # the output does not exist yet
    assert "run the participant level first" in capsys.readouterr().err


def test_every_scan_is_in_one_share_and_shares_are_equal(tmp_path):
    scans = [Scan(f"sub-{n:03}/anat/sub-{n:03}_T1w.nii.gz", f"{n:03}", "", "T1w") for n in range(100)]

    shares = [share_of(scans, (number, 7)) for number in range(1, 8)]

    assert sorted(scan.path for share in shares for scan in share) == [scan.path for scan in scans]
    assert {len(share) for share in shares} == {14, 15}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--participant-label", "09"), "has no participant sub-09"),
        (("--session-label", "z"), "has no session ses-z"),
        (("--suffix", "PDw"), "no scan to upsample"),
        (("--shard", "4/3"), "K from 1 to N"),
    ],
)
def test_missing_inputs_are_refused_before_any_work(bids, words, message, tmp_path, capsys):
    assert bids(*words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_data_set_and_one_inside_a_data_set_are_refused(
    bids, data_set, tmp_path, tiny_weights, capsys
):
    inside = ["bids", str(data_set), str(data_set / "results"), "participant", "--scale", "2"]
    assert main([*inside, "--model", str(tiny_weights)]) == 2
    assert "lies in the data set" in capsys.readouterr().err
    (data_set / "dataset_description.json").unlink()
    assert bids() == 2
    assert "is not a BIDS data set" in capsys.readouterr().err


def test_two_files_for_one_result_are_both_skipped(bids, data_set, phantom, capsys):
    write_volume(phantom, data_set / "sub-01/ses-a/anat/sub-01_ses-a_run-02_T1w.nii")

    assert bids("--participant-label", "01") == 0
    assert capsys.readouterr().out.count("whose results would have the same name") == 2


def test_a_filter_file_chooses_among_runs(bids, data_set, phantom, tmp_path):
    write_volume(phantom, data_set / "sub-01/ses-a/anat/sub-01_ses-a_run-01_T1w.nii.gz")
    (tmp_path / "filter.json").write_text('{"t1w": {"suffix": "T1w", "session": "a", "run": 2}}')

    assert bids("--bids-filter-file", str(tmp_path / "filter.json")) == 0
    assert [path.name for path in (tmp_path / "out").rglob("*.nii.gz")] == [RESULT.rpartition("/")[2]]
