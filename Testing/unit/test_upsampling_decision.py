"""Which slice profile counts: what the user states, what the file states, or none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from messages import one_line

from ArSSRLib.acquisition.profile import UNKNOWN, AxisProfile, SliceProfile
from ArSSRLib.commands.arguments import build_parser, join_numbers
from ArSSRLib.commands.info import describe_volume
from ArSSRLib.errors import InputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.upsampling.decision import decided_profile
from ArSSRLib.volume import FileHeader, Volume

FILED = SliceProfile((AxisProfile("kspace", 1.5, "DICOM"), None, AxisProfile("gaussian", 0.9, "DICOM")))


def volume(profile=UNKNOWN, spacing=(1.0, 1.0, 4.0)) -> Volume:
    geometry = VolumeGeometry((5, 4, 3), spacing)
    return Volume(np.zeros(geometry.shape, np.float32), geometry, FileHeader(profile=profile))


def decided(text, **options) -> SliceProfile:
    return decided_profile(volume(**options), UpsamplingOptions(slice_thickness=text))


def test_one_thickness_is_that_of_the_thickest_axis():
    assert decided("3") == SliceProfile((None, None, AxisProfile("gaussian", 0.75)))


def test_one_thickness_of_an_isotropic_volume_is_that_of_every_axis():
    assert decided("1.5", spacing=(1.0, 1.0, 1.0)) == SliceProfile((AxisProfile("gaussian", 1.5),) * 3)


@pytest.mark.parametrize("text", ["1x0.5x3", "1,0.5,3", "1X0.5X3"])
def test_three_thicknesses_belong_to_i_j_k(text):
    assert [axis.width for axis in decided(text).axes] == [1, 0.5, 0.75]


def test_the_user_wins_over_the_file_along_the_axes_that_are_stated():
    assert decided("3", profile=FILED) == replace(FILED, axes=(*FILED.axes[:2], AxisProfile("gaussian", 0.75)))


def test_without_a_statement_of_the_user_the_file_counts():
    assert decided(None, profile=FILED) == FILED


def test_a_thickness_of_an_axis_that_is_not_made_finer_is_ignored_with_a_line(caplog):
    options = UpsamplingOptions(slice_thickness="1x1x3")

    assert decided_profile(volume(), options, (1, 1, 4)) == SliceProfile((None, None, AxisProfile("gaussian", 0.75)))
    assert "along i, j is ignored" in caplog.text


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "thick", "1x2", "1x2x0", "", "1x2x3x4"])
def test_an_impossible_thickness_is_refused_where_options_are_made(text):
    with pytest.raises(InputError, match="thickness") as error:
        UpsamplingOptions(slice_thickness=text)

    one_line(error)


@pytest.mark.parametrize("text", ["64.1", "16.1x1x1"])
def test_a_thickness_of_more_than_16_spacings_is_refused(text):
    with pytest.raises(InputError, match="more than 16 times") as error:
        decided(text)

    one_line(error)


@pytest.mark.parametrize("numbers", [["3"], ["1", "1", "3"]])
def test_the_flag_takes_one_number_or_three(numbers):
    argv = join_numbers(["upsample", "--slice-thickness", *numbers, "a.nii", "b.nii", "--isotropic"])

    args = build_parser().parse_args(argv)

    assert (args.slice_thickness, args.input) == (",".join(numbers), "a.nii")


def test_info_says_the_profile_of_each_axis_and_its_source():
    assert dict(describe_volume(volume(FILED)))["slice profile"] == (
        "i: k-space of voxels of 1.5 mm (DICOM); j: unknown; k: Gaussian of 3.6 mm (DICOM)"
    )
