"""Writing of files: early refusals, and complete files or none."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
from messages import one_line

from ArSSRLib.errors import OutputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import WRITABLE_SUFFIXES, nifti, read_volume, validate_output, write_volume
from ArSSRLib.volume import Volume

TWO_FILES = (".nhdr", ".mhd", ".hdr", ".img")


@pytest.fixture
def volume() -> Volume:
    array = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)
    return Volume(array, VolumeGeometry((5, 4, 3), (0.5, 0.75, 2.0), (-10.0, 20.0, 30.0)))


# --- refusing an output


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a.txt", "is not a supported output format"),
        ("a", "has no extension"),
        ("a.dcm", "DICOM is written as a series"),
        *((f"a{suffix}", "two files") for suffix in TWO_FILES),
        ("missing/a.nii", "is not an existing folder"),
        ("file.nii/a.nii", "is not an existing folder"),
        ("folder.nii", "is a folder"),
        ("file.nii", "already exists"),
        ("a" * 300 + ".nii", "cannot be written"),
        ("a\0.nii", "cannot be written"),
    ],
)
def test_an_unusable_output_is_refused_before_computing(tmp_path, volume, name, reason):
    (tmp_path / "folder.nii").mkdir()
    (tmp_path / "file.nii").write_text("mine")

    with pytest.raises(OutputError, match=reason) as error:
        validate_output(tmp_path / name, overwrite=False)
    one_line(error)
    with pytest.raises(OutputError, match=reason):
        write_volume(volume, tmp_path / name)

    assert sorted(os.listdir(tmp_path)) == ["file.nii", "folder.nii"]
    assert (tmp_path / "file.nii").read_text() == "mine"


def test_a_folder_without_write_permission_is_refused(tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.touch", refuse)

    with pytest.raises(OutputError, match="Permission denied") as error:
        validate_output(tmp_path / "a.nii", overwrite=False)
    one_line(error)


@pytest.mark.parametrize("link", ["same", "symlink", "hardlink", "detour"])
def test_the_input_is_never_replaced(tmp_path, volume, link):
    source = write_volume(volume, tmp_path / "input.nii")
    target = {"same": source, "detour": tmp_path / "sub" / ".." / "input.nii"}.get(link, tmp_path / "link.nii")
    (tmp_path / "sub").mkdir()
    if link == "symlink":
        target.symlink_to(source)
    if link == "hardlink":
        os.link(source, target)

    with pytest.raises(OutputError, match="is the input, which is never replaced") as error:
        validate_output(target, overwrite=True, source=source)
    one_line(error)


def test_checking_an_output_leaves_no_trace(tmp_path, volume):
    source = write_volume(volume, tmp_path / "input.nii")

    assert validate_output(tmp_path / "a.nrrd", overwrite=False, source=source) == tmp_path / "a.nrrd"

    assert os.listdir(tmp_path) == ["input.nii"]


# --- all of it or nothing


@pytest.mark.parametrize("failure", [KeyboardInterrupt, MemoryError, OSError(28, "No space left on device")])
@pytest.mark.parametrize("existing", [True, False])
def test_a_failed_write_changes_nothing(tmp_path, volume, monkeypatch, failure, existing):
    path = tmp_path / "a.nii"
    if existing:
        path.write_text("older result")

    def write_half(_volume, temporary, _description):
        temporary.write_bytes(b"half")
        raise failure

    monkeypatch.setattr(nifti, "write", write_half)

    with pytest.raises(OutputError if isinstance(failure, OSError) else failure):
        write_volume(volume, path, overwrite=True)

    assert os.listdir(tmp_path) == (["a.nii"] if existing else [])
    assert not existing or path.read_text() == "older result"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the size of files as Linux does")
@pytest.mark.parametrize("suffix", WRITABLE_SUFFIXES)
def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path, capfd, suffix):
    import resource  # noqa: PLC0415  Unix only
    import signal  # noqa: PLC0415

    noise = Volume(np.random.default_rng(1).normal(size=(20, 20, 20)), VolumeGeometry((20, 20, 20), (1.0, 1.0, 1.0)))
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written") as error:
            write_volume(noise, tmp_path / f"a{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)

    one_line(error)
    assert os.listdir(tmp_path) == []
    assert capfd.readouterr() == ("", "")


def test_overwriting_replaces_the_target_of_a_link(tmp_path, volume):
    (tmp_path / "elsewhere").mkdir()
    real = tmp_path / "elsewhere" / "a.nii"
    real.write_text("older result")
    link = tmp_path / "link.nii"
    link.symlink_to(real)

    write_volume(volume, link, overwrite=True)

    assert link.is_symlink()
    np.testing.assert_array_equal(read_volume(real).array, volume.array)


def test_a_result_has_the_permissions_of_any_new_file(tmp_path, volume):
    (tmp_path / "ordinary").touch()

    path = write_volume(volume, tmp_path / "a.nii.gz")

    assert path.stat().st_mode == (tmp_path / "ordinary").stat().st_mode


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha", ".mgz"])
def test_the_same_volume_gives_the_same_file(tmp_path, volume, suffix):
    first, second = (write_volume(volume, tmp_path / f"{n}{suffix}") for n in "ab")

    assert first.read_bytes() == second.read_bytes()
