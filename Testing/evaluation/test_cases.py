"""Cases: the inputs that every method receives, and that other programs receive as files."""

import numpy as np
import pytest
from evaluation.tables import protocol_of, rough, write_subject, write_subjects

from ArSSRLib.errors import InputError
from ArSSRLib.evaluation.cases import cases_of, real_case, write_inputs
from ArSSRLib.evaluation.ground_truth import prepare_ground_truth
from ArSSRLib.io import read_volume
from ArSSRLib.io.sources import Source


def source_of(path):
    return Source(path, path.name)


def test_a_truth_is_degraded_in_every_scale_and_way(tmp_path):
    (path,) = write_subjects(tmp_path, 1)
    protocol = protocol_of(tmp_path, scales=((2.0, 2.0, 2.0), (1.0, 1.0, 3.0)), degradations=("point", "box"))

    truth = prepare_ground_truth(source_of(path), protocol)
    cases = list(cases_of(truth, protocol))

    assert [(case.scale[0], case.degradation) for case in cases] == [(2, "point"), (2, "box"), (1, "point"), (1, "box")]
    assert [case.coarse.geometry.size for case in cases[::2]] == [(12, 11, 10), (24, 22, 7)]
    for case in cases:
        np.testing.assert_allclose(case.coarse.geometry.corners(), truth.volume.geometry.corners(), atol=1e-9)
        assert case.fine == truth.volume.geometry
    assert cases[2].factors == pytest.approx((1.0, 1.0, 20 / 7))


def test_thick_slices_are_made_isotropic(tmp_path):
    path = write_subject(tmp_path / "a.nii.gz", array=rough(shape=(8, 20, 21)), spacing=(1.0, 1.02, 3.1))

    case = real_case(source_of(path), protocol_of(tmp_path))

    assert case.scale == pytest.approx((1.0, 1.0, 3.1))
    assert case.fine.size == (21, 20, 25)
    np.testing.assert_array_equal(case.coarse.array, read_volume(path).array)


def test_a_real_volume_without_thick_slices_is_refused(tmp_path):
    (path,) = write_subjects(tmp_path, 1)

    with pytest.raises(InputError, match="has voxels of 1 x 1 x 1 mm, which are not thick slices"):
        real_case(source_of(path), protocol_of(tmp_path))


def test_other_programs_get_the_same_inputs_as_files(tmp_path):
    paths = write_subjects(tmp_path / "subjects", 1)
    thick = write_subject(tmp_path / "thick.nii.gz", array=rough(shape=(8, 20, 22)), spacing=(1.0, 1.0, 3.0))
    protocol = protocol_of(tmp_path)

    written = write_inputs(protocol, [Source(paths[0], "sub-01")], [source_of(thick)], tmp_path / "inputs")

    assert [path.name for path in written] == [
        "sub-01_truth.nii.gz",
        "sub-01_2_point.nii.gz",
        "thick_1x1x3_real.nii.gz",
    ]
    truth = prepare_ground_truth(Source(paths[0], "sub-01"), protocol)
    (case,) = cases_of(truth, protocol)
    np.testing.assert_array_equal(read_volume(written[1]).array, case.coarse.array)
    assert read_volume(written[0]).geometry.matches(truth.volume.geometry)
