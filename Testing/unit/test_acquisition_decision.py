"""The choice of the slice profile: of the user, of the file, the estimate, or none."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
import torch
from messages import one_line
from phantoms import texture

from ArSSRLib.acquisition import decision
from ArSSRLib.acquisition.decision import EstimatedOnce, decide, decided_profile, predicted_contrast
from ArSSRLib.acquisition.estimate import Prediction, profile_of
from ArSSRLib.acquisition.matrices import profile_matrices
from ArSSRLib.acquisition.profile import UNKNOWN, AxisProfile, SliceProfile
from ArSSRLib.commands.arguments import build_parser, join_numbers
from ArSSRLib.commands.info import describe_volume
from ArSSRLib.errors import InputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.interpolation import apply_matrices
from ArSSRLib.options import DEFAULT_OPTIONS, UpsamplingOptions
from ArSSRLib.volume import FileHeader, Volume

FILED = SliceProfile((AxisProfile("kspace", 1.5, "DICOM"), None, AxisProfile("gaussian", 0.9, "DICOM")))


def volume(profile=UNKNOWN, spacing=(1.0, 1.0, 4.0)) -> Volume:
    geometry = VolumeGeometry((5, 4, 3), spacing)
    return Volume(np.zeros(geometry.shape, np.float32), geometry, FileHeader(profile=profile))


def decided(text, **options) -> SliceProfile:
    return decided_profile(volume(**options), UpsamplingOptions(slice_thickness=text))


def test_one_thickness_applies_to_the_thickest_axis():
    assert decided("3") == SliceProfile((None, None, AxisProfile("gaussian", 0.75)))


def test_one_thickness_applies_to_every_axis_of_an_isotropic_volume():
    assert decided("1.5", spacing=(1.0, 1.0, 1.0)) == SliceProfile((AxisProfile("gaussian", 1.5),) * 3)


@pytest.mark.parametrize("text", ["1x0.5x3", "1,0.5,3", "1X0.5X3"])
def test_three_thicknesses_apply_to_i_j_k(text):
    assert [axis.width for axis in decided(text).axes] == [1, 0.5, 0.75]


def test_the_user_overrides_the_file_along_the_stated_axes():
    assert decided("3", profile=FILED) == replace(FILED, axes=(*FILED.axes[:2], AxisProfile("gaussian", 0.75)))


def test_without_a_thickness_from_the_user_the_file_is_used():
    assert decided(None, profile=FILED) == FILED


def test_a_thickness_along_an_axis_that_is_not_upsampled_is_ignored_with_a_message(caplog):
    options = UpsamplingOptions(slice_thickness="1x1x3")

    assert decided_profile(volume(), options, (1, 1, 4)) == SliceProfile((None, None, AxisProfile("gaussian", 0.75)))
    assert "along i, j is ignored" in caplog.text


def test_points_apply_to_the_axes_that_become_finer_whatever_the_file_states():
    options, points = UpsamplingOptions(slice_thickness="points"), AxisProfile("point")

    assert decided_profile(volume(FILED), options, (1, 1, 4)) == SliceProfile((None, None, points))
    assert decided_profile(volume(FILED), options) == SliceProfile((points,) * 3)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "thick", "1x2", "1x2x0", "", "1x2x3x4"])
def test_an_impossible_thickness_is_refused_when_options_are_created(text):
    with pytest.raises(InputError, match="thickness") as error:
        UpsamplingOptions(slice_thickness=text)

    one_line(error)


@pytest.mark.parametrize("text", ["64.1", "16.1x1x1"])
def test_a_thickness_of_more_than_16_spacings_is_refused(text):
    with pytest.raises(InputError, match="more than 16 times") as error:
        decided(text)

    one_line(error)


@pytest.mark.parametrize("numbers", [["3"], ["1", "1", "3"]])
def test_the_flag_accepts_one_number_or_three(numbers):
    argv = join_numbers(["upsample", "--slice-thickness", *numbers, "a.nii", "b.nii", "--isotropic"])

    args = build_parser().parse_args(argv)

    assert (args.slice_thickness, args.input) == (",".join(numbers), "a.nii")


def test_info_shows_the_profile_of_each_axis_and_its_source():
    assert dict(describe_volume(volume(FILED)))["slice profile"] == (
        "i: k-space of voxels of 1.5 mm (DICOM); j: unknown; k: Gaussian of 3.6 mm (DICOM)"
    )


WIDE = AxisProfile("gaussian", 1.3)


def slices(profile=UNKNOWN, *, spacing=(1.0, 1.0, 4.0), axis=WIDE, **header) -> Volume:
    """Return a texture in slices with a distance of four voxels; if they are wide, their profile can be estimated."""
    fine = torch.from_numpy(texture())
    along_k = SliceProfile((None, None, axis))
    array = apply_matrices(fine, profile_matrices(fine.shape, (24, 96, 96), along_k)).numpy()
    return Volume(array, VolumeGeometry(array.shape[::-1], spacing), FileHeader(profile=profile, **header))


def estimate_of(volume, text=None, scale=(1, 1, 4)) -> AxisProfile | None:
    return decided_profile(volume, UpsamplingOptions(slice_thickness=text), scale).axes[2]


@pytest.fixture(scope="module")
def guess() -> AxisProfile:
    """Return the estimate along k."""
    axis = estimate_of(slices())
    assert (axis.kind, axis.width, axis.source) == ("gaussian", pytest.approx(1.3, abs=0.15), "estimated")
    return axis


def test_points_are_not_questioned_although_the_volume_looks_as_if_its_slices_were_thick(caplog, guess):
    assert estimate_of(slices(), "points") == AxisProfile("point")
    assert not caplog.records


def test_an_unstated_profile_is_estimated_with_a_message(caplog, guess):
    caplog.set_level("INFO")

    assert decided_profile(slices(), DEFAULT_OPTIONS, (1, 1, 4)) == SliceProfile((None, None, guess))
    assert [r.getMessage() for r in caplog.records] == [
        f"The slice profile is estimated from the volume: k: {decision.describe(guess, 4.0)}."
    ]


def test_the_file_overrides_the_estimate():
    filed = AxisProfile("gaussian", 1.25, "DICOM")

    assert estimate_of(slices(SliceProfile((None, None, filed)))) == filed


def test_the_user_overrides_the_estimate():
    assert estimate_of(slices(), "5") == AxisProfile("gaussian", 1.25)


@pytest.fixture(scope="module")
def points() -> Volume:
    """Return slices as sharp as point samples, with a distance of four voxels."""
    return slices(axis=AxisProfile("point"))


def test_a_stated_thickness_that_the_volume_contradicts_is_ignored_with_a_message(caplog, points):
    assert estimate_of(points, "4") is None
    assert [r.getMessage() for r in caplog.records] == [
        "The slice thickness is ignored, because it does not match the detail in the volume: "
        "k: Gaussian of 4 mm (stated)."
    ]


def test_a_thickness_in_a_header_that_the_volume_contradicts_is_ignored(points):
    filed = SliceProfile((None, None, AxisProfile("gaussian", 1.0, "DICOM")))

    assert estimate_of(replace(points, header=FileHeader(profile=filed))) is None


def test_with_file_the_header_is_used_even_if_the_volume_contradicts_it(caplog, points):
    filed = SliceProfile((None, None, AxisProfile("gaussian", 1.0, "DICOM")))

    assert estimate_of(replace(points, header=FileHeader(profile=filed)), "file") == filed.axes[2]
    assert not caplog.records


@pytest.mark.parametrize("width", [1.0, 1.3])
def test_a_correct_thickness_is_kept(caplog, width):
    assert estimate_of(slices(axis=AxisProfile("gaussian", width)), f"{4 * width}") == AxisProfile("gaussian", width)
    assert not caplog.records


def test_the_estimate_replaces_a_thickness_that_is_too_small(guess):
    assert estimate_of(slices(), "1") == guess


def test_narrow_slices_do_not_contradict_the_points_that_they_look_like(points):
    assert estimate_of(points, "0.8") == AxisProfile("gaussian", 0.2)


@pytest.mark.parametrize("text", ["file", "unknown"])
def test_the_estimate_can_be_switched_off(text):
    assert estimate_of(slices(), text) is None


def test_with_unknown_the_file_is_not_used_either():
    assert decided("unknown", profile=FILED) == UNKNOWN


def test_with_file_only_the_file_is_used():
    assert decided("file", profile=FILED) == FILED


def test_nothing_is_estimated_along_an_axis_that_is_not_upsampled():
    assert decided_profile(slices(), DEFAULT_OPTIONS, (2, 2, 1)).axes[2] is None


AXES = (None, AxisProfile("kspace", 1.2, "DICOM"), AxisProfile("gaussian", 1.0, "DICOM"), AxisProfile("point"))
PREDICTIONS = (None, Prediction(0.5, 0.01), Prediction(0.97, 0.02), Prediction(0.6, 0.3))
CASES = [(SliceProfile(axes), scale) for axes in product(AXES, repeat=3) for scale in product((1, 2), repeat=3)]


def with_estimate(axis: AxisProfile | None, scale: int, guess: Prediction | None) -> AxisProfile | None:
    """Return the profile of one axis, decided with an estimate."""
    if scale == 1 or guess is None or (axis and not guess.contradicts(axis)):
        return axis
    return profile_of(guess)


@pytest.mark.parametrize("found", list(permutations(PREDICTIONS, 3)))
def test_skipping_the_estimate_never_changes_the_decision(found):
    for profile, scale in CASES:
        decision = decide(volume(profile), DEFAULT_OPTIONS, scale, estimate=lambda *_: found)

        assert decision.profile.axes == tuple(map(with_estimate, profile.axes, scale, found))


def test_nothing_is_estimated_if_the_estimate_cannot_change_the_decision():
    def refuse(_volume, _unknown):
        raise AssertionError

    closed = [
        (profile, scale)
        for profile, scale in CASES
        if all(s == 1 or axis == AXES[1] for axis, s in zip(profile.axes, scale, strict=True))
    ]
    assert len(closed) == 5**3  # of each axis: any profile where nothing changes, and that of k-space
    for profile, scale in closed:
        assert decide(volume(profile), DEFAULT_OPTIONS, scale, estimate=refuse).profile == profile


def test_nonfinite_voxels_do_not_change_the_estimate(guess):
    volume = slices()
    volume.array[3, 4, 5:9] = [np.nan, np.inf, -np.inf, np.nan]

    assert estimate_of(volume) == guess


def test_padding_does_not_change_the_estimate(guess):
    volume = slices()
    volume.array[:, :8] = -2000
    volume.array[:, -8:] = -2000

    assert estimate_of(volume).width == pytest.approx(guess.width, abs=0.05)


def test_the_profile_of_a_volume_without_finite_voxels_is_unknown():
    volume = slices()
    volume.array[:] = np.nan

    assert estimate_of(volume) is None


@pytest.mark.parametrize("component", ["phase", "real"])
def test_nothing_is_estimated_for_parts_of_a_complex_image(component):
    assert estimate_of(slices(component=component)) is None


def test_info_says_that_a_profile_is_estimated():
    assert dict(describe_volume(slices()))["slice profile"].endswith(" mm (estimated)")


def test_one_estimate_is_used_for_all_volumes_on_the_same_grid():
    first, later, other = slices(), slices(), slices(spacing=(1.0, 1.0, 3.0))
    later.array[:] = 0  # a frame without contrast
    estimate = EstimatedOnce(predicted_contrast)

    assert estimate(first, ()) == estimate(later, ()) == decision.predicted_contrast(first)
    assert decision.predicted_contrast(later) == (None, None, None)
    assert estimate(other, ()) == decision.predicted_contrast(other)
