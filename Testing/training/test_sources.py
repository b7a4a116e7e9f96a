"""Training and validation subjects, from a folder or a CSV file: no subject is in both."""

import numpy as np
import pytest
from training.runs import smooth_array, tiny_config, write_phantom

from ArSSRLib.errors import InputError
from ArSSRLib.io.sources import Source, find_sources
from ArSSRLib.training.cli import validation_cases
from ArSSRLib.training.preparation import TrainingVolume
from ArSSRLib.training.sources import refuse_shared_subjects
from ArSSRLib.training.split import main as split
from ArSSRLib.volume import hash_of


def touched(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.mark.parametrize(
    ("training", "validation", "found"),
    [
        (Source("a/brain.nii.gz", "brain"), Source("b/brain.nii.gz", "other"), "brain.nii.gz is in both"),
        (Source("a/s1.nii.gz", "sub-1"), Source("b/s2.nii.gz", "sub-1"), r"sub-1 \(s2.nii.gz\) is in both"),
        (Source("a/t1.nii.gz", "A", named=True), Source("a/t1.nii.gz", "B", named=True), "t1.nii.gz is in both"),
    ],
)
def test_a_subject_in_both_splits_is_refused_by_name(tmp_path, training, validation, found):
    one, two = (Source(tmp_path / s.path, s.subject, s.named) for s in (training, validation))

    with pytest.raises(InputError, match=found):
        refuse_shared_subjects([one], [two])


def test_equal_file_names_of_named_subjects_are_accepted(tmp_path):
    one, two = (Source(tmp_path / name / "t1.nii.gz", name, named=True) for name in "AB")

    assert refuse_shared_subjects([one], [two]) is None  # it raises if a volume is refused


def test_a_copy_under_another_name_and_type_is_refused(tmp_path):
    array = np.rint(1000 * smooth_array((16, 18, 14), 1.0))
    write_phantom(tmp_path / "val" / "copy.nrrd", array.astype(np.int16))
    known = TrainingVolume("original.nii.gz", None, None, voxel_hash=hash_of(array.astype(np.float64)))

    with pytest.raises(InputError, match=r"copy\.nrrd has the same voxels as the training volume original\.nii\.gz"):
        validation_cases(tiny_config(tmp_path), find_sources(tmp_path / "val", "val"), [known])


def test_a_data_set_is_divided_by_subject(tmp_path, monkeypatch):
    touched(tmp_path, *(f"data/{subject}/{scan}.nii.gz" for subject in range(10, 18) for scan in "ab"))
    monkeypatch.chdir(tmp_path)

    assert split(["data", "split.csv", "--pattern", "*/*.nii.gz", "--counts", "4", "2", "1"]) == 0

    parts = {name: find_sources(tmp_path / "split.csv", name) for name in ("train", "val", "test")}
    subjects = {name: {source.subject for source in sources} for name, sources in parts.items()}
    assert {name: (len(parts[name]), len(subjects[name])) for name in parts} == {
        "train": (8, 4),
        "val": (4, 2),
        "test": (2, 1),
    }
    assert len(set.union(*subjects.values())) == 7


def test_a_division_of_more_subjects_than_there_are_is_refused(tmp_path, capsys):
    touched(tmp_path, "sub-1_T1w.nii.gz")

    assert split([str(tmp_path), str(tmp_path / "split.csv"), "--counts", "780", "111", "222"]) == 2
    assert "has 1 subjects" in capsys.readouterr().err
