"""Methods: each returns a result on the grid of the truth, or reports what is missing."""

import numpy as np
import pytest
from evaluation.tables import BACK, CUBIC, protocol_of, write_subjects
from scipy import ndimage

from ArSSRLib.checkpoint import load_model, registry, sha256_of
from ArSSRLib.errors import InputError
from ArSSRLib.evaluation.cases import cases_of
from ArSSRLib.evaluation.ground_truth import prepare_ground_truth
from ArSSRLib.evaluation.methods import (
    MissingMethod,
    apply_method,
    choices_of,
    has_weights,
    identity_of,
    weights_hash,
    why_missing,
)
from ArSSRLib.evaluation.protocol_methods import Method
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import write_volume
from ArSSRLib.io.sources import Source
from ArSSRLib.metrics import psnr
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.upsampling import upsample
from ArSSRLib.volume import Volume

CPU = {"device": "cpu", "precision": "fp32"}
TWO = (2.0, 2.0, 2.0)


@pytest.fixture
def truth(tmp_path):
    (path,) = write_subjects(tmp_path, 1)
    return prepare_ground_truth(Source(path, "sub-01"), protocol_of(tmp_path))


def case_of(truth, folder, degradation="point"):
    return next(cases_of(truth, protocol_of(folder, degradations=(degradation,))))


def external(folder):
    return Method("other", "folder", files=f"{folder}/{{subject}}_{{scale}}_{{degradation}}.nii.gz", how="Ask them.")


def test_cubic_is_that_of_scipy(truth, tmp_path):
    case = case_of(truth, tmp_path)

    positions = np.meshgrid(*[(np.arange(n) + 0.5) / 2 - 0.5 for n in truth.volume.array.shape], indexing="ij")
    expected = ndimage.map_coordinates(case.coarse.array.astype(np.float64), positions, order=3, mode="mirror")
    np.testing.assert_allclose(apply_method(CUBIC, case, **CPU).array, expected, atol=0.02)


@pytest.mark.parametrize("degradation", ["gaussian", "box", "endpoints"])
def test_back_projection_agrees_with_the_input(truth, tmp_path, degradation):
    case = case_of(truth, tmp_path, degradation)

    errors = [
        np.abs(case.acquisition.coarsened(apply_method(method, case, **CPU).array) - case.coarse.array).mean()
        for method in (CUBIC, BACK)
    ]

    assert errors[1] <= 0.2 * errors[0] or errors[0] < 0.05


def test_back_projection_is_better_than_cubic_where_slices_average(truth, tmp_path):
    case = case_of(truth, tmp_path, "gaussian")

    cubic, corrected = (psnr(truth.volume.array, apply_method(method, case, **CPU).array) for method in (CUBIC, BACK))

    assert corrected > cubic + 0.5


def test_a_model_gives_the_same_result_as_upsampling(truth, tmp_path, tiny_weights):
    case = case_of(truth, tmp_path)

    found = apply_method(Method("tiny", "model", str(tiny_weights)), case, **CPU).array

    expected = upsample(case.coarse, load_model(tiny_weights), 2.0, UpsamplingOptions(**CPU)).array
    np.testing.assert_array_equal(found, expected)


def test_a_network_of_one_scale_has_a_file_for_each(tmp_path, tiny_weights):
    (tmp_path / "net_2.safetensors").write_bytes(tiny_weights.read_bytes())
    method = Method("net", "model", f"{tmp_path}/net_{{scale}}.safetensors", how="Train it at {scale}.")

    assert weights_hash(method, TWO) == sha256_of(tiny_weights)
    with pytest.raises(MissingMethod, match=r"net: there is no .*net_1x1x3\.safetensors\. Train it at 1x1x3\.$"):
        weights_hash(method, (1.0, 1.0, 3.0))


def test_missing_weights_at_several_scales_are_one_sentence(tmp_path, tiny_weights):
    (tmp_path / "net_2.safetensors").write_bytes(tiny_weights.read_bytes())
    method = Method("net", "model", f"{tmp_path}/net_{{scale}}.safetensors", how="Train it at {scale}.")
    three, four = (3.0, 3.0, 3.0), (4.0, 4.0, 4.0)

    assert [has_weights(method, scale) for scale in (TWO, three)] == [True, False]
    assert why_missing(method, [three]).endswith("net_3.safetensors. Train it at 3.")
    assert why_missing(method, [three, four]) == (
        f"net: there is no {tmp_path}/net_{{scale}}.safetensors for the scales 3, 4. Train it at {{scale}}."
    )


def test_weights_that_were_replaced_are_known_by_their_new_hash(tmp_path, tiny_weights):
    path = tmp_path / "net.safetensors"
    path.write_bytes(tiny_weights.read_bytes())
    method = Method("net", "model", str(path))
    before = weights_hash(method, TWO)

    path.write_bytes(tiny_weights.read_bytes() + b" ")

    assert weights_hash(method, TWO) != before == sha256_of(tiny_weights)


def test_bundled_models_are_known_by_name():
    entry = registry()[0]

    assert weights_hash(Method("ours", "model", entry.name), TWO) == entry.sha256
    with pytest.raises(MissingMethod, match='There is no model "arssr9"'):
        weights_hash(Method("ours", "model", "arssr9"), TWO)


def test_formulas_need_nothing_to_be_known_by(truth, tmp_path):
    assert identity_of(CUBIC, case_of(truth, tmp_path)) == ""


def test_a_result_of_another_program_is_taken_as_it_is(truth, tmp_path):
    case, method = case_of(truth, tmp_path), external(tmp_path)
    array = truth.volume.array + 1
    path = write_volume(Volume(array, case.fine), tmp_path / "sub-01_2_point.nii.gz")

    assert identity_of(method, case) == sha256_of(path)
    np.testing.assert_array_equal(apply_method(method, case, **CPU).array, array)


def test_a_result_on_another_grid_is_refused_with_both(truth, tmp_path):
    case = case_of(truth, tmp_path)
    write_volume(case.coarse, tmp_path / "sub-01_2_point.nii.gz")

    with pytest.raises(InputError, match=r"a grid of 12 x 11 x 10 voxels of 2 x 2 x 2 mm .*never resampled"):
        apply_method(external(tmp_path), case, **CPU)


def test_a_result_that_is_shifted_is_refused(truth, tmp_path):
    case = case_of(truth, tmp_path)
    moved = VolumeGeometry(case.fine.size, case.fine.spacing, (5.0, -3.0, 8.5))
    write_volume(Volume(truth.volume.array, moved), tmp_path / "sub-01_2_point.nii.gz")

    with pytest.raises(InputError, match="lies on a grid of"):
        apply_method(external(tmp_path), case, **CPU)


def test_a_result_with_nonfinite_voxels_is_refused(truth, tmp_path):
    case = case_of(truth, tmp_path)
    array = truth.volume.array.copy()
    array[3, 4, 5] = np.nan
    write_volume(Volume(array, case.fine), tmp_path / "sub-01_2_point.nii.gz")

    with pytest.raises(InputError, match="NaN or infinite"):
        apply_method(external(tmp_path), case, **CPU)


def test_a_missing_result_is_reported_with_how_to_get_it(truth, tmp_path):
    with pytest.raises(MissingMethod, match=r"other: there is no .*sub-01_2_point\.nii\.gz\. Ask them\.$"):
        identity_of(external(tmp_path), case_of(truth, tmp_path))


def told_psnr(truth, case, weights, **choices):
    method = Method("tiny", "model", str(weights), **choices)
    return psnr(truth.volume.array, apply_method(method, case, **CPU).array)


def test_a_model_receives_the_profile_of_the_degradation_and_agrees_with_the_scan(truth, tmp_path, tiny_weights):
    case = case_of(truth, tmp_path, "gaussian")
    unknown = UpsamplingOptions(slice_thickness="unknown")

    told = told_psnr(truth, case, tiny_weights, profile="true")

    assert told == told_psnr(truth, case, tiny_weights, profile="gaussian")
    assert told > told_psnr(truth, case, tiny_weights, options=unknown) + 0.5
    assert told > told_psnr(truth, case, tiny_weights, profile="point") + 0.5


def test_a_model_cannot_receive_the_profile_of_a_degradation_without_one(truth, tmp_path, tiny_weights):
    case = case_of(truth, tmp_path, "endpoints")

    with pytest.raises(InputError, match='the degradation "endpoints" has no slice profile'):
        apply_method(Method("tiny", "model", str(tiny_weights), profile="true"), case, **CPU)


def test_an_uncertainty_is_computed_only_when_requested(truth, tmp_path, tiny_weights):
    case = case_of(truth, tmp_path)
    best = UpsamplingOptions(quality="best", uncertainty=True)

    spread = apply_method(Method("tiny", "model", str(tiny_weights), options=best), case, **CPU).uncertainty

    assert spread.shape == truth.volume.array.shape
    assert spread.min() >= 0 < spread.max()
    assert apply_method(CUBIC, case, **CPU).uncertainty is None


def test_the_identity_of_a_model_depends_on_its_profile_and_options():
    plain = Method("ours", "model", "arssr2")
    best = Method("ours", "model", "arssr2", profile="true", options=UpsamplingOptions(quality="best"))

    assert choices_of(plain) == {}
    assert choices_of(best) == {"profile": "true", "options": {"quality": "best"}}
