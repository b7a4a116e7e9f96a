"""External programs run once, on a grid they can read, and are judged on the truth's grid, or reported as missing."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from evaluation.tables import protocol_of, write_subject

from ArSSRLib.errors import InputError
from ArSSRLib.evaluation.cases import cases_of
from ArSSRLib.evaluation.ground_truth import prepare_ground_truth
from ArSSRLib.evaluation.methods import MissingMethod, apply_method, identity_of
from ArSSRLib.evaluation.programs import grids_of, noted_seconds
from ArSSRLib.evaluation.protocol_methods import Method
from ArSSRLib.io.sources import Source

# Repeats every slice, records its arguments, and counts its runs.
PROGRAM = """
import sys, pathlib
import nibabel, numpy
given, folder, profile, thickness = sys.argv[1:]
image = nibabel.load(given)
affine = image.affine.copy()
affine[:3, 3] -= affine[:3, 2] * 3 / 8
affine[:3, 2] /= 4
array = numpy.repeat(numpy.asanyarray(image.dataobj), 4, axis=2)
folder = pathlib.Path(folder)
with (folder / "told.txt").open("a") as file:
    file.write(f"{profile} {thickness} {' '.join(map(str, image.header.get_zooms()))}\\n")
nibabel.Nifti1Image(array, affine).to_filename(folder / pathlib.Path(given).name.replace(".nii", "_x.nii"))
"""
CPU = {"device": "cpu", "precision": "fp32"}


@pytest.fixture
def case(tmp_path):
    path = write_subject(tmp_path / "sub-01_T1w.nii.gz", spacing=(1.203, 1.201, 1.202))
    truth = prepare_ground_truth(Source(path, "sub-01"), protocol_of(tmp_path))
    return next(cases_of(truth, protocol_of(tmp_path, scales=((1.0, 1.0, 4.0),), degradations=("gaussian",))))


def program(folder, code=PROGRAM, name=sys.executable):
    script = folder / "program.py"
    script.write_text(code, encoding="utf-8")
    command = f"'{name}' '{script}' {{input}} {{folder}} {{profile}} {{thickness}}"
    files = f"{folder}/out/{{subject}}_{{scale}}_{{degradation}}_x.nii.gz"
    return Method("other", "program", files=files, command=command, how="Ask them.")


def test_a_program_is_run_once_and_its_result_is_placed_on_the_grid_of_the_truth(case, tmp_path):
    method = program(tmp_path)

    first = identity_of(method, case)
    answer = apply_method(method, case, **CPU)

    np.testing.assert_allclose(answer.array, np.repeat(case.coarse.array, 4, axis=0), rtol=1e-6)
    assert answer.seconds > 0.01
    assert identity_of(method, case) == first
    assert (tmp_path / "out" / "told.txt").read_text().count("\n") == 1


def test_a_program_receives_the_profile_and_spacings_with_an_exact_ratio(case, tmp_path):
    identity_of(program(tmp_path), case)

    profile, thickness, *edges = (tmp_path / "out" / "told.txt").read_text().split()
    numbers = [float(edge) for edge in edges]
    assert (profile, float(thickness)) == ("gaussian", 4.0)
    assert round(numbers[2] / min(numbers[:2]), 3) == 4.0
    assert numbers[0] == numbers[1]


def test_a_program_that_is_not_installed_is_missing_with_the_way_to_get_it(case, tmp_path):
    method = program(tmp_path, name="no-such-program")

    absent = r"there is no .*_x\.nii\.gz, and the program no-such-program is not installed\."
    with pytest.raises(MissingMethod, match=rf"^other: {absent} Ask them\.$"):
        identity_of(method, case)


def test_an_existing_result_needs_no_program(case, tmp_path):
    identity_of(program(tmp_path), case)

    answer = apply_method(program(tmp_path, name="no-such-program"), case, **CPU)

    assert answer.array.shape == case.fine.shape


def test_a_program_that_fails_is_quoted(case, tmp_path):
    with pytest.raises(InputError, match=r"ended with exit code 1 and wrote no .*_x\.nii\.gz: .*out of luck"):
        identity_of(program(tmp_path, code="raise SystemExit('out of luck')"), case)


def test_a_result_without_a_note_has_an_unknown_time(tmp_path):
    assert math.isnan(noted_seconds(tmp_path / "result.nii.gz"))


def test_a_truth_with_unequal_spacing_is_not_given_to_a_program(tmp_path):
    path = write_subject(tmp_path / "sub-02_T1w.nii.gz", spacing=(1.0, 1.0, 1.3))
    truth = prepare_ground_truth(Source(path, "sub-02"), protocol_of(tmp_path))

    with pytest.raises(InputError, match=r"voxels of 1 x 1 x 1\.3 mm; a program needs equally long edges"):
        grids_of(next(cases_of(truth, protocol_of(tmp_path))))


def test_the_note_is_beside_the_result(case, tmp_path):
    identity_of(program(tmp_path), case)

    assert Path(f"{tmp_path}/out/sub-01_1x1x4_gaussian_x.nii.gz.json").is_file()
