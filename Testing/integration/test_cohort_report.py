"""``arssr report`` and ``arssr bids ... group`` write pages about results, including their problems."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from ArSSRLib import read_volume, write_volume
from ArSSRLib.cli import main

NEEDED = ("bids2table", "jinja2", "PIL", "matplotlib")
pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in NEEDED), reason="a package of the extra bids is not installed"
)


def arssr(*words):
    try:
        return main([str(word) for word in words])
    except SystemExit as leaving:
        return leaving.code


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_weights):
    """A data set of two subjects and its results, to be copied."""
    import phantoms  # noqa: PLC0415

    from ArSSRLib import VolumeGeometry  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("cohort")
    geometry = VolumeGeometry((20, 18, 9), (0.9, 1.1, 2.5), (-31, 12.5, 47), phantoms.rotation(11, -17, 29))
    scan = phantoms.sample(phantoms.blobs_in(geometry), geometry)
    (folder / "raw").mkdir()
    described = {"Name": "A <b>study</b>", "BIDSVersion": "1.10.0"}
    (folder / "raw" / "dataset_description.json").write_text(json.dumps(described))
    for n, label in enumerate(("01", "02")):
        anat = folder / "raw" / f"sub-{label}" / "anat"
        anat.mkdir(parents=True)
        write_volume(scan.with_array(scan.array * (n + 1)), anat / f"sub-{label}_T1w.nii.gz")
    level = ("--isotropic", "--device", "cpu", "--model", tiny_weights)
    assert arssr("bids", folder / "raw", folder / "out", "participant", *level) == 0
    return folder


@pytest.fixture
def cohort(finished, tmp_path):
    for name in ("raw", "out"):
        shutil.copytree(finished / name, tmp_path / name)
    return tmp_path


def group(cohort):
    return arssr("bids", cohort / "raw", cohort / "out", "group")


def result_of(cohort, label):
    (path,) = (cohort / "out" / f"sub-{label}").rglob("*_desc-arssr_T1w.nii.gz")
    return path


def test_group_writes_a_page_per_subject_and_an_index_and_describes_the_folder_again(cohort, capsys):
    (cohort / "raw").rename(cohort / "moved")
    described = cohort / "out" / "dataset_description.json"

    assert arssr("bids", cohort / "moved", cohort / "out", "group") == 0

    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said == {"report": str(cohort / "out" / "index.html"), "finished": 2}
    assert {path.name for path in (cohort / "out").glob("*.html")} == {"index.html", "sub-01.html", "sub-02.html"}
    index = (cohort / "out" / "index.html").read_text()
    assert "A &lt;b&gt;study&lt;/b&gt;" in index
    assert json.loads(described.read_text())["DatasetLinks"] == {"raw": "../moved"}
    for page in (cohort / "out").glob("*.html"):
        assert "For research only, not a diagnosis" in page.read_text()
        assert page.stat().st_size < 3_000_000


def test_group_names_a_scan_without_a_result_and_writes_nothing(cohort, capsys):
    result_of(cohort, "02").unlink()

    assert group(cohort) == 1
    assert "sub-02_T1w.nii.gz: has no result yet" in capsys.readouterr().out
    assert list((cohort / "out").glob("*.html")) == []


def test_a_missing_result_is_named_in_the_index_of_a_requested_report(cohort):
    result_of(cohort, "02").unlink()

    assert arssr("report", cohort / "out") == 1
    index = (cohort / "out" / "index.html").read_text()
    assert "sub-02/anat/sub-02_T1w.nii.gz" in index
    assert "It has no result yet." in index
    assert not (cohort / "out" / "sub-02.html").exists()


@pytest.mark.parametrize("fault", ["unreadable", "changed", "no source", "old record", "no sidecar", "moved"])
def test_a_result_with_a_fault_is_named_and_the_others_are_done(cohort, capsys, fault):
    result = result_of(cohort, "02")
    record = result.with_name(f"{result.name}.arssr.json")
    volume = read_volume(result)
    scan = cohort / "raw/sub-02/anat/sub-02_T1w.nii.gz"
    i, j, k = volume.geometry.origin
    moved = replace(volume.geometry, origin=(i + 3, j, k))
    expected = {
        "unreadable": (lambda: result.write_bytes(b"not a volume"), "The result cannot be used: "),
        "changed": (
            lambda: write_volume(volume.with_array(volume.array + 1), result, overwrite=True),
            "The result does not have the voxels stated in its record",
        ),
        "no source": (scan.unlink, "The scan cannot be used: does not exist"),
        "old record": (
            lambda: record.write_text(record.read_text().replace('"format": 2', '"format": 1')),
            "The record cannot be used: cannot be read as a record (its format is not 2)",
        ),
        "no sidecar": (lambda: result.with_name(f"{result.name[:-7]}.json").unlink(), "Its sidecar cannot be read"),
        "moved": (
            lambda: write_volume(volume.with_array(volume.array, moved), result, overwrite=True),
            "The field of view is not that of the scan: its corners are up to 3 mm away",
        ),
    }
    break_it, words = expected[fault]
    break_it()

    assert arssr("report", cohort / "out") == 1
    assert words in capsys.readouterr().out
    assert "No problem found" in (cohort / "out" / "sub-01.html").read_text()
    assert "Needs attention" in (cohort / "out" / "sub-02.html").read_text()


def test_one_result_has_a_page_that_does_not_name_its_file(cohort, capsys):
    scan = cohort / "raw/sub-01/anat/sub-01_T1w.nii.gz"
    result = result_of(cohort, "01").rename(cohort / "Jane_Doe.nii.gz")

    assert arssr("report", result, "--source", scan) == 0
    page = (cohort / "Jane_Doe.html").read_text()
    assert "Jane" not in page
    assert "Difference from cubic" in page
    capsys.readouterr()
    assert arssr("report", result) == 1
    assert "The scan is unknown" in capsys.readouterr().out


@pytest.mark.parametrize("place", ["folder", "file"])
def test_nothing_to_report_on_is_refused(cohort, place, capsys):
    shutil.rmtree(cohort / "out" / "sub-01")
    shutil.rmtree(cohort / "out" / "sub-02")

    assert arssr("report", cohort / "out" if place == "folder" else cohort / "none.nii.gz") == 2
    assert "contains no results" in (printed := capsys.readouterr().err) or "does not exist" in printed
    assert list(cohort.rglob("*.html")) == []


def test_a_page_of_another_program_is_never_replaced(cohort, capsys):
    (cohort / "out" / "index.html").write_text("<html>mine</html>")

    assert arssr("report", cohort / "out") == 2
    assert "is not a report of ArSSR" in capsys.readouterr().err
    assert (cohort / "out" / "index.html").read_text() == "<html>mine</html>"


def test_a_report_that_cannot_be_written_is_one_error(cohort, capsys):
    (cohort / "file").write_text("")

    assert arssr("report", cohort / "out", "--output", cohort / "file" / "pages") == 2
    assert "choose another location for the report" in capsys.readouterr().err


def test_a_dicom_series_is_taken_as_the_source_and_as_the_result(phantom, tmp_path, tiny_weights, capsys):
    pytest.importorskip("pydicom", reason="pydicom is not installed (pip install pydicom)")
    from dicom_series import write_series  # noqa: PLC0415

    array = np.interp(phantom.array, (phantom.array.min(), phantom.array.max()), (0, 3000))
    uid = write_series(tmp_path / "scan", phantom.with_array(array.astype("i2")))
    assert arssr("upsample", tmp_path / "scan", tmp_path / "finer", "--scale", "2", "--model", tiny_weights) == 0
    write_series(tmp_path / "scan", phantom.with_array(array.astype("i2")), series="1.2.9")

    assert arssr("report", tmp_path / "finer", "--source", tmp_path / "scan") == 1
    assert "contains 2 series" in capsys.readouterr().out
    assert arssr("report", tmp_path / "finer", "--source", tmp_path / "scan", "--series", uid) == 0
    assert "No problem found" in (tmp_path / "finer.html").read_text()


def test_the_page_of_a_subject_names_its_outliers(tmp_path, monkeypatch):
    from ArSSRLib.cohort.report import pages  # noqa: PLC0415
    from ArSSRLib.cohort.report.findings import Finding, Item  # noqa: PLC0415

    def found(item, _largest):
        odd = item.subject == "7"
        return Finding(item, figures={"ripple": 9.0 if odd else int(item.subject) / 100, "shift": 0.0})

    monkeypatch.setattr(pages, "find", found)
    pages.write_report([Item("T1w", "T1w", subject=str(n), result=tmp_path) for n in range(8)], tmp_path, "Study")

    odd, plain = (tmp_path / "sub-7.html").read_text(), (tmp_path / "sub-1.html").read_text()
    assert '<a class="badge warn" href="#result-1-figures">1 figure stands out</a>' in odd
    assert odd.count("Ripple is unusually high: 9, while the median is ") == 1
    assert "stands out" not in plain
    assert "unusually" not in plain
