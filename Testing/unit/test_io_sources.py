"""Volumes in a folder, or in one split of a CSV file; volumes with nonfinite voxels are refused."""

import numpy as np
import pytest

from ArSSRLib.errors import InputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import write_volume
from ArSSRLib.io.sources import Source, find_sources, read_checked, subject_of
from ArSSRLib.volume import Volume


def table(tmp_path, text):
    path = tmp_path / "data.csv"
    path.write_text(text, encoding="utf-8")
    return path


def touched(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_the_sources_of_a_folder_are_its_volumes(tmp_path):
    touched(tmp_path, "b.nii.gz", "a.nrrd", "notes.txt")

    assert [source.path.name for source in find_sources(tmp_path, "train")] == ["a.nrrd", "b.nii.gz"]


def test_the_sources_of_a_table_are_the_rows_of_one_split(tmp_path):
    touched(tmp_path, "one/t1.nii.gz", "two/t1.nii.gz", "three/t1.nii.gz")
    data = table(tmp_path, "path,split,subject\none/t1.nii.gz,train,A\ntwo/t1.nii.gz,val,B\nthree/t1.nii.gz,test,C\n")

    assert find_sources(data, "val") == [Source(tmp_path / "two/t1.nii.gz", "B", named=True)]


def test_a_table_may_list_lesion_masks(tmp_path):
    touched(tmp_path, "a.nii.gz", "b.nii.gz", "masks/a.nii.gz")
    data = table(tmp_path, "path,split,lesions\na.nii.gz,test,masks/a.nii.gz\nb.nii.gz,test,\n")

    assert [source.lesions for source in find_sources(data, "test")] == [tmp_path / "masks/a.nii.gz", None]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("path,split,lesions\na.nii.gz,train,no.nii.gz\n", r"line 2: .*no\.nii\.gz does not exist"),
        ("path,split\nmissing.nii.gz,train\n", r"line 2: .*missing\.nii\.gz does not exist"),
        ("path,split\na.nii.gz,training\n", 'line 2: the split is "training"; expected one of train, val, test'),
        ("path,split\n,train\n", "line 2: there is no path"),
        ("file,split\na.nii.gz,train\n", "has the columns file, split; expected path"),
        ("", "has the columns none"),
        ("path,split\na.nii.gz,val\n", 'contains no volume; expected a row with split "train"'),
    ],
)
def test_an_unusable_table_is_refused(tmp_path, text, reason):
    touched(tmp_path, "a.nii.gz")

    with pytest.raises(InputError, match=reason):
        find_sources(table(tmp_path, text), "train")


def test_a_folder_without_volumes_is_refused(tmp_path):
    with pytest.raises(InputError, match="contains no volume; expected"):
        find_sources(tmp_path, "train")


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("sub-01_ses-2_T1w.nii.gz", "sub-01"),
        ("ds000011_sub-01_T1w.nii.gz", "ds000011_sub-01"),
        ("brain.nii.gz", "brain.nii.gz"),
    ],
)
def test_the_subject_is_found_in_the_file_name(tmp_path, name, subject):
    assert subject_of(tmp_path / name) == subject


def test_a_volume_with_nonfinite_voxels_is_refused_with_their_count(tmp_path):
    array = np.ones((4, 5, 6), np.float32)
    array[1, 2, 3:5] = (np.nan, np.inf)
    path = write_volume(Volume(array, VolumeGeometry((6, 5, 4), (1.0, 1.0, 1.0))), tmp_path / "a.nrrd")

    with pytest.raises(InputError, match=r"a\.nrrd contains 2 voxels that are NaN"):
        read_checked(path)
