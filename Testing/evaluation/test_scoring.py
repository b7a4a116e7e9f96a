"""The metrics by name, in every region and on the right pair; the table is complete except for failed metrics."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
from evaluation.tables import rough

from ArSSRLib.acquisition.ripple import slice_ripple
from ArSSRLib.errors import InputError
from ArSSRLib.evaluation import MetricUnavailable, scoring
from ArSSRLib.evaluation.degradation import acquisition
from ArSSRLib.evaluation.lesions import contrast_recovery, lesions_of
from ArSSRLib.evaluation.scoring import HEADINGS, METRICS, Scored, Value, why_unavailable
from ArSSRLib.metrics import psnr, ssim


def scored(scale=(1.0, 1.0, 4.0), **changes):
    truth = rough()
    shape = tuple(round(n / s) for n, s in zip(truth.shape, reversed(scale), strict=True))
    matrices = acquisition(truth.shape, shape, "gaussian")
    coarse = matrices.coarsened(truth)
    given = Scored(matrices.interpolated(coarse), coarse, matrices, scale, (1.0, 1.0, 1.0), truth, truth > 300)
    return dataclasses.replace(given, **changes)


def pretend(monkeypatch, name, **functions):
    rooms = {f"ArSSRLib.evaluation.{name}": SimpleNamespace(**functions)}
    monkeypatch.setattr(scoring, "import_module", rooms.__getitem__)


@pytest.mark.parametrize(
    ("name", "measure"),
    [("psnr", psnr), ("ssim", ssim), ("ssim_gaussian", lambda *given: ssim(*given, sigma=1.5))],
)
def test_the_engines_metrics_are_computed_in_the_volume_and_in_the_mask(name, measure):
    given = scored()

    assert METRICS[name].measure(given) == [
        Value(name, "volume", measure(given.truth, given.result)),
        Value(name, "mask", measure(given.truth, given.result, given.mask)),
    ]


def test_without_a_mask_only_the_whole_volume_is_judged():
    assert [value.region for value in METRICS["psnr"].measure(scored(mask=None))] == ["volume"]


@pytest.fixture
def lesions():
    mask = np.zeros(rough().shape, bool)
    mask[9:11, 10:12, 11:13] = True
    return lesions_of(mask, rough() > 0, (1.0, 1.0, 1.0), "synthetic lesions")


@pytest.mark.parametrize(
    ("name", "measure"),
    [("psnr", psnr), ("ssim", ssim), ("ssim_gaussian", lambda *given: ssim(*given, sigma=1.5))],
)
def test_the_engines_metrics_are_computed_in_lesions(name, measure, lesions):
    given = scored(lesions=lesions)

    *_, value = METRICS[name].measure(given)

    assert value == Value(name, "synthetic lesions", measure(given.truth, given.result, lesions.region))


def test_the_contrast_of_lesions_is_that_of_their_room(lesions):
    given = scored(lesions=lesions)

    expected = contrast_recovery(given.truth, given.result, lesions)
    assert METRICS["lesion_contrast"].measure(given) == [Value("lesion_contrast", "synthetic lesions", expected)]
    assert METRICS["lesion_contrast"].measure(scored()) == []


def test_a_result_that_agrees_with_the_input_is_consistent():
    given = scored()

    (value,) = METRICS["consistency"].measure(dataclasses.replace(given, result=given.truth))
    (other,) = METRICS["consistency"].measure(given)

    assert value.number > 100 > other.number


def test_the_consistency_has_the_range_of_the_input():
    given = scored()
    error = 3.0

    (value,) = METRICS["consistency"].measure(dataclasses.replace(given, result=given.truth + np.float32(error)))

    expected = 20 * math.log10(np.ptp(given.coarse) / error)
    assert value.number == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(("scale", "count"), [((1.0, 1.0, 4.0), 1), ((2.0, 2.0, 2.0), 0), ((1.0, 2.0, 4.0), 0)])
def test_only_volumes_with_one_thick_axis_have_a_ripple(scale, count):
    assert len(METRICS["ripple"].measure(scored(scale))) == count


@pytest.mark.parametrize(("scale", "axis"), [((1.0, 1.0, 4.0), 0), ((1.0, 2.0, 1.0), 1), ((3.0, 1.0, 1.0), 2)])
def test_the_ripple_is_that_along_the_thick_axis(scale, axis):
    given = scored(scale)

    (value,) = METRICS["ripple"].measure(given)

    assert value.number == slice_ripple(given.result, axis, max(scale))


@pytest.mark.parametrize("name", ["alex", "vgg"])
def test_lpips_is_called_with_its_network_and_both_volumes(monkeypatch, name):
    given = scored()
    asked = []
    pretend(monkeypatch, "perceptual", lpips=lambda *volumes, network: asked.append((*volumes, network)) or 0.25)

    assert METRICS[f"lpips_{name}"].measure(given) == [Value(f"lpips_{name}", "volume", 0.25)]
    assert (asked[0][0] is given.truth, asked[0][1] is given.result, asked[0][2]) == (True, True, name)


@pytest.mark.parametrize("name", ["psi", "lpc_si"])
@pytest.mark.parametrize("real", [False, True])
def test_sharpness_is_computed_relative_to_the_maximum_of_the_reference(monkeypatch, name, real):
    given = scored(truth=None) if real else scored()
    pretend(monkeypatch, "perceptual", **{name: lambda volume: float(volume.max())})

    (value,) = METRICS[name].measure(given)

    largest = (given.coarse if real else given.truth).max()
    assert value.number == pytest.approx(given.result.max() / largest)


def test_the_overlap_of_every_tissue_is_listed(monkeypatch):
    overlaps = {"gray matter": (0.9, 0.8), "white matter": (0.7, 0.6)}
    pretend(monkeypatch, "segmentation", dice_and_iou=lambda reference, result, spacing: overlaps)

    values = METRICS["segmentation"].measure(scored())

    assert values[:2] == [Value("dice", "gray matter", 0.9), Value("iou", "gray matter", 0.8)]
    assert len(values) == 4


def test_missing_parts_of_a_metric_are_reported_before_anything_is_computed(monkeypatch):
    def unavailable(*_volumes, network):
        raise MetricUnavailable(f"The weights of {network} are not here.")

    pretend(monkeypatch, "perceptual", lpips=unavailable)

    assert why_unavailable("lpips_vgg") == "The weights of vgg are not here."
    assert why_unavailable("psnr") == ""


def test_a_metric_that_refuses_the_trial_is_still_tried_in_the_cells(monkeypatch):
    def dislike(_volume):
        raise InputError("These are waves.")

    pretend(monkeypatch, "perceptual", psi=dislike)

    assert why_unavailable("psi") == ""


def test_a_package_that_is_not_installed_makes_a_metric_unavailable(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(scoring, "import_module", missing)

    assert "is not installed" in why_unavailable("psi")


def test_every_value_has_a_heading():
    told = {"segmentation": ["dice", "iou"], "uncertainty": ["uncertainty_pearson", "uncertainty_spearman"]}

    assert {name for metric in METRICS for name in told.get(metric, [metric])} == set(HEADINGS)
