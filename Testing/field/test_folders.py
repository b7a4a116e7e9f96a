"""Contents of folders: DICOM beside volumes, single volumes, links to files not fetched, names from other systems."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from derived_series import as_scanned
from dicom_series import write_series

from ArSSRLib.cli import main
from ArSSRLib.errors import InputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import find_inputs, find_volumes, read_volume, write_volume
from ArSSRLib.io.sources import find_sources
from ArSSRLib.volume import Volume

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.fixture
def volume() -> Volume:
    array = np.random.default_rng(8).integers(0, 900, (5, 6, 7)).astype(np.int16)
    return Volume(array, VolumeGeometry((7, 6, 5), (1.0, 1.0, 2.0)))


@pytest.fixture
def folder(tmp_path, volume):
    """Return a folder with one volume, and a parent with nothing else."""
    (tmp_path / "in").mkdir()
    write_volume(volume, tmp_path / "in" / "a.nii.gz")
    return tmp_path / "in"


@pytest.fixture
def upsampled(tiny_weights):
    """Return a function that runs the command at scale 1.5."""

    def run(source, output, *more):
        arguments = ["upsample", str(source), str(output), "--scale", "1.5", "--model", str(tiny_weights), *more]
        return main([*arguments, "--device", "cpu"])

    return run


def test_dicom_beside_a_volume_is_refused_by_info_and_upsample_alike(folder, tmp_path, volume, upsampled, capsys):
    write_series(folder, volume, edit=as_scanned)
    said = []
    for command in (lambda: upsampled(folder, tmp_path / "out.nii.gz"), lambda: main(["info", str(folder)])):
        assert command() == 2
        said.append(capsys.readouterr().err)

    assert said[0] == said[1]
    assert "contains both DICOM files" in said[0]
    assert "a.nii.gz" in said[0]
    assert "--series" in said[0]
    assert not (tmp_path / "out.nii.gz").exists()


def test_a_chosen_series_is_read_although_a_volume_is_beside_it(folder, tmp_path, volume, upsampled):
    uid = write_series(folder, volume, edit=as_scanned)

    assert upsampled(folder, tmp_path / "out.nii.gz", "--series", uid) == 0
    assert (tmp_path / "out.nii.gz").is_file()
    assert main(["info", str(folder), "--series", uid]) == 0


def test_one_volume_in_a_folder_is_written_to_the_named_file(folder, tmp_path, upsampled):
    assert upsampled(folder, tmp_path / "single.nii.gz") == 0

    assert read_volume(tmp_path / "single.nii.gz").geometry.size == (11, 9, 8)


def test_several_volumes_are_not_written_to_one_file(folder, tmp_path, upsampled, capsys):
    shutil.copy(folder / "a.nii.gz", folder / "b.nii.gz")

    assert upsampled(folder, tmp_path / "single.nii.gz") == 2
    assert "is the name of a file, but" in capsys.readouterr().err
    assert not (tmp_path / "single.nii.gz").exists()


def test_info_describes_each_volume_that_upsample_would_process(folder, capsys):
    shutil.copy(folder / "a.nii.gz", folder / "b.nii.gz")

    assert main(["info", str(folder)]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line[:1] != " "] == [
        str(folder / "a.nii.gz"),
        str(folder / "b.nii.gz"),
    ]


@pytest.mark.parametrize(
    ("unfetched", "told"),
    [
        (lambda path: path.symlink_to("../.git/annex/objects/k4/vM/x.nii.gz"), "git annex get"),
        (lambda path: path.symlink_to("nowhere.nii.gz"), "correct the link"),
        (lambda path: path.write_bytes(LFS), "git lfs pull"),
        (lambda path: path.write_bytes(b"/annex/objects/MD5E-s1--4d7a.nii.gz\n"), "git annex get"),
        # A symbolic link, as git checks it out on systems without links.
        (lambda path: path.write_bytes(b"../../.git/annex/objects/k4/vM/x.nii.gz"), "git annex get"),
    ],
)
def test_a_file_that_was_not_fetched_is_named_and_counts_as_a_failure(
    folder, tmp_path, upsampled, capsys, unfetched, told
):
    unfetched(folder / "b.nii.gz")

    assert upsampled(folder, tmp_path / "out") == 1

    said = capsys.readouterr().err
    assert told in said
    assert "1 of 2 volumes failed: b.nii.gz" in said
    assert (tmp_path / "out" / "a.nii.gz").is_file()


@pytest.mark.parametrize("pointer", [True, False])
def test_a_series_with_a_slice_that_was_not_fetched_is_refused(tmp_path, volume, capsys, pointer):
    write_series(tmp_path / "s", volume)
    last = sorted((tmp_path / "s").iterdir())[-1]
    last.unlink()
    if pointer:
        last.write_bytes(LFS)
    else:
        last.symlink_to("../.git/annex/objects/x")

    assert main(["info", str(tmp_path / "s")]) == 2
    assert "fetch" in capsys.readouterr().err


def test_half_of_a_volume_in_a_folder_is_reported(folder, tmp_path, upsampled, capsys):
    (folder / "lonely.img").write_bytes(bytes(500))

    assert upsampled(folder, tmp_path / "out") == 1
    assert "lonely.hdr, the file with its header, does not exist" in capsys.readouterr().err


def test_the_message_says_that_subfolders_are_not_searched(folder, tmp_path, capsys):
    assert main(["info", str(tmp_path)]) == 2
    assert "its subfolders, such as in, are not searched" in capsys.readouterr().err


def test_a_name_that_other_systems_do_not_allow_is_made_portable(folder, tmp_path, upsampled, capsys):
    (folder / "a.nii.gz").rename(folder / "2020-01-01T10:30:00.nii.gz")

    assert upsampled(folder, tmp_path / "out") == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["2020-01-01T10-30-00.nii.gz"]
    assert "is named 2020-01-01T10-30-00.nii.gz" in capsys.readouterr().err


def test_a_device_is_refused_as_output(folder, upsampled, capsys):
    assert upsampled(folder / "a.nii.gz", "/dev/null") == 2
    assert "a device or a pipe" in capsys.readouterr().err


def test_a_single_slice_is_refused_like_one_from_dicom(tmp_path, tiny_weights, volume, capsys):
    source = write_volume(
        Volume(volume.array[:1], VolumeGeometry((7, 6, 1), (1.0, 1.0, 5.0))), tmp_path / "slice.nii.gz"
    )
    arguments = ["upsample", str(source), str(tmp_path / "out.nii.gz"), "--model", str(tiny_weights), "--device", "cpu"]

    assert main([*arguments, "--isotropic"]) == 2
    assert "a single slice along k" in capsys.readouterr().err
    assert main([*arguments, "--scale", "2", "2", "1"]) == 0


def test_copies_are_reported_once_when_a_series_is_derived(tmp_path, volume, upsampled, capsys):
    write_series(tmp_path / "s", volume, edit=as_scanned)
    for file in sorted((tmp_path / "s").iterdir()):
        (tmp_path / "s" / f"copy_{file.name}").write_bytes(file.read_bytes())

    assert upsampled(tmp_path / "s", tmp_path / "derived") == 0
    assert capsys.readouterr().err.count("files are copies of others") == 1


@pytest.mark.parametrize("column", ["path", "lesions"])
def test_an_error_in_a_table_names_the_volume_that_was_not_fetched(folder, column):
    (folder / "b.nii.gz").symlink_to("../.git/annex/objects/k4/vM/MD5E-s1--4d7a.nii.gz")
    row = {"path": "a.nii.gz", "split": "train", "lesions": "", column: "b.nii.gz"}
    (folder / "t.csv").write_text(f"{','.join(row)}\n{','.join(row.values())}\n")

    with pytest.raises(InputError, match=r"t\.csv, line 2: b\.nii\.gz is a link .*git annex get"):
        find_sources(folder / "t.csv", "train")


@pytest.mark.parametrize("suffix", [".img", ".hdr", ".nii", ".mha"])
def test_a_dicom_series_with_names_of_another_format_is_read(tmp_path, volume, suffix):
    write_series(tmp_path / "s", volume)
    for file in sorted((tmp_path / "s").iterdir()):
        file.rename(file.with_name(file.name + suffix))

    assert find_inputs(tmp_path / "s") == [tmp_path / "s"]
    np.testing.assert_array_equal(read_volume(tmp_path / "s").array, volume.array)
    with pytest.raises(InputError, match="single slice"):
        read_volume(next((tmp_path / "s").iterdir()))


def test_a_folder_of_compressed_volumes_is_listed_without_opening_them(tmp_path, monkeypatch):
    opened = opened_in(tmp_path, monkeypatch, ["a.nii.gz", "b.NII.GZ", "c.mgz", "notes.txt"])

    assert [path.name for path in find_volumes(tmp_path)] == ["a.nii.gz", "b.NII.GZ", "c.mgz"]
    assert opened == []


def test_inputs_are_found_by_opening_once_each_file_whose_name_leaves_its_content_open(tmp_path, monkeypatch):
    opened = opened_in(tmp_path, monkeypatch, ["a.nii.gz", "b.nii", "c.nrrd", "notes.txt", "unnamed"])

    assert [path.name for path in find_inputs(tmp_path)] == ["a.nii.gz", "b.nii", "c.nrrd"]
    assert sorted(opened) == ["b.nii", "c.nrrd", "notes.txt", "unnamed"]


def test_one_dicom_file_named_like_a_volume_beside_volumes_is_named(tmp_path, volume):
    write_volume(volume, tmp_path / "a.nii.gz")
    write_series(tmp_path / "s", volume)
    next((tmp_path / "s").iterdir()).rename(tmp_path / "slice.nii")

    assert [path.name for path in find_volumes(tmp_path)] == ["a.nii.gz"]
    with pytest.raises(InputError, match=r"contains both DICOM files, such as slice\.nii, and volumes, such as a\.nii"):
        find_inputs(tmp_path)


def opened_in(folder, monkeypatch, names):
    """Create files, and return a list to which the name of every one that is opened is added."""
    opened, original = [], Path.open
    for name in names:
        (folder / name).write_bytes(bytes(200))
    monkeypatch.setattr(Path, "open", lambda path, *given: opened.append(path.name) or original(path, *given))
    return opened
