"""Comparison of tissues in result and truth: the numbers, the process, and ANTs itself if it is installed."""

from __future__ import annotations

import json
import math
import os
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from ArSSRLib.errors import InputError
from ArSSRLib.evaluation import MetricUnavailable, ants_job, segmentation
from ArSSRLib.evaluation.segmentation import (
    REGIONS,
    TISSUES,
    Ants,
    configured_ants,
    dice_and_iou,
    ordered,
    overlaps,
    segment,
)
from ArSSRLib.io import write_volume
from ArSSRLib.volume import Volume

SPACING = (0.8, 1.0, 2.0)

# A stand-in for a Python with ANTs, which segments with three thresholds and labels the brightest tissue 1. It reads
# the voxels after the 352 bytes of a NIfTI header itself, because loading nibabel would take longer than all else.
STAND_IN = """#!{python}
import gzip, json, os, sys
import numpy as np
job = json.load(open(sys.argv[-1]))
with open({log!r}, "a") as log:
    log.write(json.dumps([sys.argv[1:], job, os.environ["TMPDIR"]]) + chr(10))
image = gzip.open(job["image"]).read()
values = np.frombuffer(image[352:], "<f4")
mask = np.frombuffer(gzip.open(job["mask"]).read()[352:], "u1")
labels = np.where(mask > 0, 3 - np.digitize(values, [300, 600]), 0).astype("<f4")
header, count = bytearray(image[:352]), int.from_bytes(image[42:44], "little") * int.from_bytes(image[44:46], "little")
header[46] = min(header[46], {rows})
gzip.open(job["labels"], "wb").write(bytes(header) + labels[: count * header[46]].tobytes())
print("a warning", file=sys.stderr)
"""


def stand_in(folder: Path, text: str = STAND_IN, rows: int = 99) -> Path:
    """Write a program that is called instead of a Python."""
    if sys.platform == "win32":
        pytest.skip("a script stands in for a Python here, which Windows does not start")
    folder.mkdir(exist_ok=True)
    program = folder / "a python"
    program.write_text(text.format(python=sys.executable, log=str(folder / "log"), rows=rows))
    program.chmod(0o755)
    return program


def calls(program: Path) -> list[list[object]]:
    return [json.loads(line) for line in (program.parent / "log").read_text().splitlines()]


@pytest.fixture
def ants(monkeypatch, tmp_path) -> Path:
    """A stand-in that the user has configured."""
    program = stand_in(tmp_path / "with spaces")
    monkeypatch.setenv(segmentation.PYTHON_VARIABLE, str(program))
    monkeypatch.delenv(segmentation.PRIORS_VARIABLE, raising=False)
    segmentation._known.clear()
    return program


def brain() -> np.ndarray:
    """Return three shells of 200, 500 and 900 on a dark background, with a different length along each of k, j, i."""
    k, j, i = np.meshgrid(*[np.arange(n) - n / 2 for n in (20, 22, 24)], indexing="ij")
    radius = np.sqrt(k**2 + j**2 + i**2)
    return np.select([radius < 4, radius < 6, radius < 8], [900.0, 500.0, 200.0]).astype(np.float32)


# --- overlaps


def test_overlaps_are_their_definitions():
    reference = np.array([1, 1, 1, 1, 2, 2, 0, 0], np.uint8)
    result = np.array([1, 1, 0, 2, 2, 2, 2, 0], np.uint8)

    table = overlaps(reference, result, ("first", "second"))

    assert table == {"first": pytest.approx((4 / 6, 2 / 4)), "second": pytest.approx((4 / 6, 2 / 4))}
    reference[3] = 0
    assert overlaps(reference, result, ("first",)) == {"first": pytest.approx((4 / 5, 2 / 3))}


def test_a_region_missing_in_both_has_no_overlap():
    labels = np.array([1, 1, 0], np.uint8)

    (_, second, third) = overlaps(labels, np.array([1, 2, 0], np.uint8), ("a", "b", "c")).values()

    assert second == (0, 0)
    assert all(math.isnan(number) for number in third)


def test_labels_are_ordered_by_mean_intensity():
    volume = np.array([5.0, 100, 40, 45, 7, 90, 1])
    labels = np.array([3, 2, 5, 5, 3, 2, 0], np.uint8)

    assert ordered(labels, volume).tolist() == [1, 3, 2, 2, 1, 3, 0]


# --- a volume through the process


def test_each_voxel_gets_the_tissue_of_its_intensity(ants):
    volume = brain()

    labels = segment(volume, volume > 0, SPACING, ants=Ants(str(ants)))

    np.testing.assert_array_equal(labels, np.digitize(volume, [1, 300, 600]))


def test_the_process_is_isolated_and_leaves_nothing_behind(ants):
    segment(brain(), brain() > 0, SPACING, ants=Ants(str(ants)))

    [[arguments, job, scratch]] = calls(ants)
    assert arguments[0] == "-I"
    assert arguments[1] == str(Path(ants_job.__file__))
    assert job["classes"] == 3
    assert job["priors"] == []
    assert not Path(scratch).exists()
    assert Path(job["image"]).parent == Path(scratch)


def test_a_few_bright_voxels_are_clipped_before_they_make_a_tissue(ants, monkeypatch):
    written = []

    def watched(volume: Volume, path: Path) -> Path:
        written.append(volume)
        return write_volume(volume, path)

    monkeypatch.setattr(segmentation, "write_volume", watched)
    volume = brain()
    volume[10, 11, 12] = 1e6

    segment(volume, volume > 0, SPACING, ants=Ants(str(ants)))

    assert written[0].array.max() == pytest.approx(900)
    assert written[0].geometry.spacing == SPACING


def test_equal_volumes_overlap_completely(ants):
    volume = brain()

    assert dice_and_iou(volume, volume.copy(), SPACING) == dict.fromkeys(TISSUES, (1.0, 1.0))


def test_the_mask_is_that_of_the_truth(ants):
    truth = brain()
    result = truth + 250.0  # everything dark, also outside the brain, now has the middle intensity

    table = dice_and_iou(truth, result, SPACING)

    counts = [np.count_nonzero(truth == value) for value in (200, 500, 900)]
    # Of the result, the shells are 450, 750 and 1150: the middle tissue and the brightest, numbered 1 and 2.
    assert table["darkest tissue"] == (1.0, 1.0)
    assert table["middle tissue"][0] == pytest.approx(2 * counts[1] / (2 * counts[1] + counts[2]))
    assert table["brightest tissue"] == (0.0, 0.0)


def test_a_truth_is_segmented_once_for_all_that_is_compared_with_it(ants):
    volume = brain()
    for factor in (1.0, 1.01, 1.02):
        dice_and_iou(volume, factor * volume, SPACING)
    assert len(calls(ants)) == 4

    dice_and_iou(volume + 1.0, volume, SPACING)
    assert len(calls(ants)) == 6


# --- failures


def test_without_ants_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.delenv(segmentation.PYTHON_VARIABLE, raising=False)

    with pytest.raises(MetricUnavailable, match=r"venv.*ants_environment\.txt.*ARSSR_ANTS_PYTHON"):
        dice_and_iou(brain(), brain(), SPACING)


def test_a_python_without_ants_is_named(tmp_path):
    with pytest.raises(MetricUnavailable, match="has no ANTs"):
        segment(brain(), brain() > 0, SPACING, ants=Ants(sys.executable))


def test_a_missing_python_is_named(tmp_path):
    with pytest.raises(MetricUnavailable, match="cannot be started"):
        segment(brain(), brain() > 0, SPACING, ants=Ants(str(tmp_path / "none")))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("#!{python}\nimport sys\nsys.exit('it was\\n too dark')\n", r"exit code 1: it was too dark"),
        ("#!{python}\nimport os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", r"exit code -11: it printed nothing"),
        ("#!{python}\n", "exit code 0"),
    ],
    ids=["an error", "a crash", "no labels"],
)
def test_a_failure_of_ants_is_reported_in_one_line(tmp_path, text, word):
    program = stand_in(tmp_path, text)

    with pytest.raises(InputError, match=word) as caught:
        segment(brain(), brain() > 0, SPACING, ants=Ants(str(program)))

    assert "\n" not in str(caught.value)


def test_labels_of_another_grid_are_refused(tmp_path):
    program = stand_in(tmp_path, rows=9)

    with pytest.raises(InputError, match="shape"):
        segment(brain(), brain() > 0, SPACING, ants=Ants(str(program)))


def test_volumes_of_different_shapes_are_refused(ants):
    with pytest.raises(InputError, match="the same shape"):
        dice_and_iou(brain(), brain()[1:], SPACING)


def test_an_empty_mask_is_refused(ants):
    with pytest.raises(InputError, match="empty"):
        segment(brain(), np.zeros(brain().shape, bool), SPACING, ants=Ants(str(ants)))


# --- priors


def oasis(folder: Path) -> Path:
    (folder / "Priors2").mkdir(parents=True)
    (folder / segmentation.TEMPLATE).touch()
    for n in range(1, 7):
        (folder / segmentation.PRIORS.format(n)).touch()
    return folder


def test_priors_make_six_regions_in_their_own_order(ants, monkeypatch, tmp_path):
    monkeypatch.setenv(segmentation.PRIORS_VARIABLE, str(oasis(tmp_path / "oasis")))
    configured = configured_ants()

    labels = segment(brain(), brain() > 0, SPACING, ants=configured)

    [[_, job, _]] = calls(ants)
    assert job["classes"] == 6
    assert [Path(prior).name for prior in job["priors"]] == [f"priors{n}.nii.gz" for n in range(1, 7)]
    assert configured.regions == REGIONS
    assert labels[10, 11, 12] == 1  # label 1 is the brightest, as in the stand-in


def test_a_folder_that_lacks_a_prior_is_refused(ants, monkeypatch, tmp_path):
    folder = oasis(tmp_path / "oasis")
    (folder / "Priors2" / "priors4.nii.gz").unlink()
    monkeypatch.setenv(segmentation.PRIORS_VARIABLE, str(folder))

    with pytest.raises(MetricUnavailable, match=r"priors4\.nii\.gz"):
        configured_ants()


# --- the job, with a stand-in for the package


class Image:
    """An object of the stand-in for the package: a name that records its origin."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __mul__(self, other: Image) -> Image:
        return Image(f"{self.name}*{other.name}")

    def clone(self, kind: str) -> Image:
        return Image(f"{self.name} as {kind}")


def package(told: dict[str, object]) -> types.SimpleNamespace:
    def atropos(**options: object) -> dict[str, Image]:
        told.update(options)
        return {"segmentation": Image("labels")}

    return types.SimpleNamespace(
        image_read=Image,
        n4_bias_field_correction=lambda image, mask, spline_param: Image(f"n4({image.name}, {mask.name})"),
        registration=lambda fixed, moving, type_of_transform: {"fwdtransforms": [f"{moving.name} to {fixed.name}"]},
        apply_transforms=lambda fixed, moving, transformlist: f"{moving.name} by {transformlist[0]}",
        atropos=atropos,
        image_write=lambda image, path: told.update(written=(image.name, path)),
    )


def job_file(folder: Path, priors: list[str]) -> Path:
    job = {"image": "i", "mask": "m", "labels": "l", "classes": len(priors) or 3, "priors": priors, "template": "t"}
    file = folder / "job.json"
    file.write_text(json.dumps(job))
    return file


def test_without_priors_the_job_starts_from_intensities(monkeypatch, tmp_path):
    told: dict[str, object] = {}
    monkeypatch.setitem(sys.modules, "ants", package(told))

    assert ants_job.main(str(job_file(tmp_path, []))) == 0

    assert told["i"] == "KMeans[3]"
    assert (told["a"].name, told["x"].name) == ("n4(i, m)", "m")
    assert told["written"] == ("labels as unsigned char", "l")


def test_with_priors_the_job_brings_them_to_the_volume(monkeypatch, tmp_path):
    told: dict[str, object] = {}
    monkeypatch.setitem(sys.modules, "ants", package(told))

    ants_job.main(str(job_file(tmp_path, ["p1", "p2"])))

    assert told["i"] == ["p1 by t to n4(i, m)*m", "p2 by t to n4(i, m)*m"]


# --- ANTs itself


def test_ants_finds_three_tissues():
    if not os.environ.get(segmentation.PYTHON_VARIABLE):
        pytest.skip(
            f"{segmentation.PYTHON_VARIABLE} names no Python with antspyx, see {segmentation.REQUIREMENTS.name}"
        )
    truth = brain().repeat(2, 0).repeat(2, 1).repeat(2, 2)
    noisy = truth + np.random.default_rng(0).normal(0, 15, truth.shape).astype(np.float32)

    table = dice_and_iou(truth, np.where(truth > 0, noisy, 0), SPACING)

    assert min(dice for dice, _ in table.values()) > 0.95
