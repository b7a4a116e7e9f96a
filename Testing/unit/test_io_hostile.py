"""Malicious volumes: small files that unpack to gigabytes, or declare more voxels than they contain."""

from __future__ import annotations

import gzip
import io
import struct
import zlib

import messages
import nibabel as nib
import numpy as np
import pydicom
import pytest
from dicom_series import write_series
from pydicom.uid import DeflatedExplicitVRLittleEndian

from ArSSRLib import read_volume, write_volume
from ArSSRLib.errors import InputError

# Fifty megabytes of zeros are compressed to fifty kilobytes.
NOTHING = bytes(50_000_000)


def refusal(path) -> str:
    """Return the one-line refusal of a file, after checking that it needed less than 20 MB."""
    return messages.refusal(read_volume, path, InputError, most_bytes=20e6)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mgz"])
def test_a_gzip_bomb_is_not_unpacked(phantom, tmp_path, suffix):
    path = write_volume(phantom, tmp_path / f"v{suffix}")
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + NOTHING))

    assert "far more data than its header specifies" in refusal(path)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_a_huge_empty_header_extension_is_not_unpacked(tmp_path, kind):
    nib.save(kind(np.ones((4, 4, 4), np.float32), np.eye(4)), tmp_path / "v.nii")
    content, start = (tmp_path / "v.nii").read_bytes(), 352 if kind is nib.Nifti1Image else 544
    header = kind.header_class.from_fileobj(io.BytesIO(content), check=False)
    header["vox_offset"] = start + len(NOTHING)
    extension = struct.pack("<ii", len(NOTHING), 6) + NOTHING[8:]
    whole = header.binaryblock + b"\1\0\0\0" + extension + content[start:]
    (tmp_path / "v.nii.gz").write_bytes(gzip.compress(whole))

    assert "begin at byte 50,000" in refusal(tmp_path / "v.nii.gz")


def test_a_nrrd_bomb_is_not_unpacked(phantom, tmp_path):
    path = write_volume(phantom, tmp_path / "v.nrrd")
    header, _, _ = path.read_bytes().partition(b"\n\n")
    path.write_bytes(header + b"\n\n" + gzip.compress(phantom.array.tobytes() + NOTHING))

    assert "far more data than its header specifies" in refusal(path)


def test_a_metaimage_bomb_is_not_unpacked(phantom, tmp_path):
    path = write_volume(phantom, tmp_path / "v.mha")
    header, _, _ = path.read_bytes().partition(b"LOCAL\n")
    path.write_bytes(header + b"LOCAL\n" + zlib.compress(phantom.array.tobytes() + NOTHING))

    assert "far more data than its header specifies" in refusal(path)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize("compress", [True, False])
def test_memory_is_not_allocated_for_voxels_that_the_file_lacks(phantom, tmp_path, suffix, compress, monkeypatch):
    path = write_volume(phantom, tmp_path / f"v{suffix}", compress=compress)
    content = path.read_bytes()
    size = b"sizes: 20 18 9" if suffix == ".nrrd" else b"DimSize = 20 18 9"
    assert size in content
    path.write_bytes(content.replace(size, size.replace(b"20 18 9", b"20000 18000 9")))
    monkeypatch.setattr("SimpleITK.ImageFileReader.Execute", lambda *_: pytest.fail("memory was taken"))

    assert "truncated" in refusal(path)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_bytes_after_the_voxels_are_accepted(phantom, tmp_path, suffix):
    path = write_volume(phantom, tmp_path / f"v{suffix}", compress=False)
    with path.open("ab") as file:
        file.write(b"\n# by another program\n")

    np.testing.assert_array_equal(read_volume(path).array, phantom.array)


def test_a_deflated_dicom_bomb_is_not_unpacked(phantom, tmp_path):
    write_series(tmp_path / "series", phantom.with_array(phantom.array.astype("i2")))
    file = next((tmp_path / "series").iterdir())
    slice_ = pydicom.dcmread(file)
    slice_.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    slice_.add_new((0x0029, 0x0010), "LO", "BOMB")
    slice_.add_new((0x0029, 0x1010), "OB", NOTHING)
    slice_.save_as(file, enforce_file_format=True)
    assert file.stat().st_size < 200_000

    assert "deflated" in refusal(tmp_path / "series")
