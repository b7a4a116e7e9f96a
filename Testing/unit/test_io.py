"""Reading and writing in general: refusals, and files that are written completely or not at all."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
from messages import one_line

from ArSSRLib.checkpoint import load_model
from ArSSRLib.errors import CheckpointError, InputError, MemoryLimitError, OutputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import (
    SUPPORTED_SUFFIXES,
    WRITABLE_SUFFIXES,
    find_volumes,
    nifti,
    read_volume,
    write_volume,
)
from ArSSRLib.volume import FileHeader, Volume


@pytest.fixture
def volume() -> Volume:
    array = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)
    return Volume(array, VolumeGeometry((5, 4, 3), (0.5, 0.75, 2.0), (-10.0, 20.0, 30.0)))


# --- names and folders


@pytest.mark.parametrize("name", ["plain{}", "with blanks and (brackets){}", "Gehirn_größe_脳{}", "UPPER{}"])
@pytest.mark.parametrize("suffix", WRITABLE_SUFFIXES)
def test_a_volume_is_read_and_written_under_any_file_name(tmp_path, volume, name, suffix):
    suffix = suffix.upper() if name.startswith("UPPER") else suffix
    folder = tmp_path / "Ordner mit Ü"
    folder.mkdir()

    written = write_volume(volume, folder / name.format(suffix))

    assert os.listdir(folder) == [written.name]
    np.testing.assert_array_equal(read_volume(written).array, volume.array)


@pytest.mark.parametrize("path", [None, 1, 2.5, True, b"a.nii", ["a.nii"], object(), ""])
def test_a_path_of_another_type_is_refused(volume, path):
    for refusal, use in (
        (InputError, lambda: read_volume(path)),
        (OutputError, lambda: write_volume(volume, path)),
        (CheckpointError, lambda: load_model(path)),
    ):
        with pytest.raises(refusal, match=r"A path must be a text that is not empty, or a pathlib\.Path, got") as error:
            use()
        one_line(error)


def test_only_volumes_are_written(volume, tmp_path):
    with pytest.raises(InputError, match="Writing needs a Volume, got ndarray; see the page"):
        write_volume(volume.array, tmp_path / "a.nii")


def test_volumes_are_found_by_name_and_sorted(tmp_path):
    (tmp_path / "folder.nii").mkdir()
    for name in ("b.nii.gz", "a.NRRD", "pair.hdr", "pair.img", ".hidden.nii", "c.mha", "notes.txt", "slice.dcm"):
        (tmp_path / name).touch()

    assert [path.name for path in find_volumes(tmp_path)] == ["a.NRRD", "b.nii.gz", "c.mha", "pair.hdr"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="gone: cannot be listed") as error:
        find_volumes(tmp_path / "gone")
    one_line(error)


# --- refusing an input


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"gone\.nii: does not exist") as error:
        read_volume(tmp_path / "gone.nii")
    one_line(error)


def test_a_folder_without_volumes_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing to see")

    with pytest.raises(InputError, match="contains no DICOM image") as error:
        read_volume(tmp_path)
    one_line(error)


@pytest.mark.parametrize("suffix", [*SUPPORTED_SUFFIXES, ".dcm"])
@pytest.mark.parametrize(
    "content", [b"", b"This is a letter.\n" * 40, bytes(400), b"\x1f\x8b" + bytes(range(256))], ids=range(4)
)
def test_a_file_that_is_not_an_image_is_refused_without_other_output(tmp_path, capfd, suffix, content):
    path = tmp_path / f"image{suffix}"
    path.write_bytes(content)

    with pytest.raises(InputError, match=f"image{suffix}: ") as error:
        read_volume(path)

    one_line(error)
    assert capfd.readouterr() == ("", "")


def test_an_unknown_format_is_refused_with_the_known_ones(tmp_path):
    (tmp_path / "image.png").write_bytes(b"\x89PNG" * 50)

    with pytest.raises(InputError, match=r"expected one of \.nii, \.nii\.gz") as error:
        read_volume(tmp_path / "image.png")
    one_line(error)


def test_a_series_can_only_be_chosen_for_dicom(tmp_path, volume):
    path = write_volume(volume, tmp_path / "image.nrrd")

    with pytest.raises(InputError, match="is not DICOM"):
        read_volume(path, series="1.2.3")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.nii")

    with pytest.raises(InputError, match="neither a file nor a folder"):
        read_volume(tmp_path / "pipe.nii")


@pytest.mark.parametrize("suffix", WRITABLE_SUFFIXES)
@pytest.mark.parametrize("kept", [0.2, 0.6, 0.97, 0.999])
def test_a_truncated_file_is_refused_without_other_output(tmp_path, capfd, suffix, kept):
    noise = np.random.default_rng(5).normal(size=(8, 9, 10)).astype(np.float32)
    path = write_volume(Volume(noise, VolumeGeometry((10, 9, 8), (1.0, 1.0, 1.0))), tmp_path / f"image{suffix}")
    content = path.read_bytes()
    # MGH files end with acquisition parameters, which are not needed.
    path.write_bytes(content[: int((len(content) - (20 if suffix == ".mgh" else 0)) * kept)])

    with pytest.raises(InputError, match="image") as error:
        read_volume(path)

    one_line(error)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", [".nii.gz", ".mgz", ".nrrd", ".mha"])
def test_a_flipped_bit_in_a_compressed_file_is_detected(tmp_path, suffix):
    noise = np.random.default_rng(5).integers(0, 4000, (20, 20, 20)).astype(np.int16)
    path = write_volume(Volume(noise, VolumeGeometry((20, 20, 20), (1.0, 1.0, 1.0))), tmp_path / f"image{suffix}")
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)

    with pytest.raises(InputError, match="damaged"):
        read_volume(path)


def test_voxels_that_do_not_fit_into_memory_are_reported(tmp_path, volume, monkeypatch):
    path = write_volume(volume, tmp_path / "image.nii")

    def fail(_path):
        raise MemoryError

    monkeypatch.setattr(nifti, "read", fail)

    with pytest.raises(MemoryLimitError, match="do not fit into memory") as error:
        read_volume(path)
    one_line(error)


def test_a_missing_library_is_named_with_the_command_that_installs_it(tmp_path, volume, monkeypatch):
    path = write_volume(volume, tmp_path / "image.mha")
    monkeypatch.delitem(sys.modules, "ArSSRLib.io.itk")
    monkeypatch.setitem(sys.modules, "SimpleITK", None)

    with pytest.raises(InputError, match="pip install SimpleITK") as error:
        read_volume(path)
    one_line(error)
    with pytest.raises(OutputError, match="pip install SimpleITK"):
        write_volume(volume, tmp_path / "other.mha")


# --- description


@pytest.mark.parametrize("suffix", [".nii", ".nrrd"])
def test_the_description_states_the_upsampling_and_the_version(tmp_path, volume, suffix):
    path = write_volume(volume, tmp_path / f"a{suffix}", description="upsampled 2x\nby arssr2")

    kept = read_volume(path).header.description

    assert kept.startswith("ArSSR ")
    assert kept.endswith(": upsampled 2x by arssr2")


def test_a_file_that_is_only_copied_keeps_its_description(tmp_path, volume):
    said = Volume(volume.array, volume.geometry, FileHeader(description="MPRAGE"))

    path = write_volume(said, tmp_path / "a.nii")

    assert read_volume(path).header.description == "MPRAGE"
