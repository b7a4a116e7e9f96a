"""Unusual headers that other programs write, and files damaged or renamed in transfer."""

from __future__ import annotations

import bz2
import gzip
import re

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from nifti_files import AFFINE, save
from nrrd_files import IN_SPACE, nrrd, voxels

from ArSSRLib.acquisition.profile import AxisProfile, SliceProfile
from ArSSRLib.errors import InputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import read_volume, write_volume
from ArSSRLib.io.formats import FORMATS
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.upsampling import upsample
from ArSSRLib.volume import FileHeader, Volume

PLAIN = UpsamplingOptions(device="cpu", precision="fp32")


def patched(path, *changes):
    """Overwrite bytes of a file, given as (offset, bytes)."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as file:
        content = bytearray(file.read())
    for offset, new in changes:
        content[offset : offset + len(new)] = new
    with opened(path, "wb") as file:
        file.write(content)
    return path


# --- NIfTI


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(("kind", "at", "size"), [(nib.Nifti1Image, 108, 4), (nib.Nifti2Image, 168, 8)])
def test_an_offset_of_0_means_that_voxels_follow_the_header(tmp_path, suffix, kind, at, size):
    path = save(tmp_path / f"a{suffix}", array=voxels(), sform=(AFFINE, 1), kind=kind)
    expected = read_volume(path)

    found = read_volume(patched(path, (at, bytes(size))))

    np.testing.assert_array_equal(found.array, expected.array)
    np.testing.assert_array_equal(found.array, voxels().T)


@pytest.mark.parametrize(("forms", "used"), [({"sform": 9, "qform": 7}, "sform"), ({"sform": 0, "qform": 12}, "qform")])
def test_an_unusual_code_does_not_drop_its_matrix(tmp_path, tiny_model, caplog, forms, used):
    path = save(tmp_path / "a.nii", array=voxels(), sform=(AFFINE, 1), qform=(AFFINE + np.diag([0, 0, 0, 0]), 1))
    codes = [(252, forms["qform"]), (254, forms["sform"])]
    patched(path, *[(at, int(code).to_bytes(2, "little", signed=True)) for at, code in codes])

    volume = read_volume(path)
    result = write_volume(upsample(volume, tiny_model, 2, PLAIN), tmp_path / "b.nii")

    np.testing.assert_allclose(volume.geometry.ras_affine, AFFINE, atol=1e-5)
    assert f"{used}_code, {forms[used]}, is not defined by NIfTI" in caplog.text
    assert "setting to 0" not in caplog.text
    assert 0 < int(nib.load(result).header["sform_code"]) <= 5


def test_a_length_unit_that_nifti_does_not_define_causes_a_warning(tmp_path, caplog):
    path = patched(save(tmp_path / "a.nii", array=voxels(), sform=(AFFINE, 1)), (123, b"\5"))

    assert read_volume(path).geometry.spacing == (2, 2, 2.5)
    assert "a unit that NIfTI does not define; mm is assumed" in caplog.text


def test_a_file_without_a_position_has_a_result_without_one(tmp_path, tiny_model, caplog):
    source = save(tmp_path / "a.nii", array=voxels())
    result = write_volume(upsample(read_volume(source), tiny_model, 2, PLAIN), tmp_path / "b.nii")
    header = nib.load(result).header

    assert "neither sform nor qform" in caplog.text
    assert (int(header["sform_code"]), int(header["qform_code"])) == (0, 0)
    before, after = sitk.ReadImage(str(source)), sitk.ReadImage(str(result))
    assert before.GetDirection() == after.GetDirection()
    assert before.GetOrigin() == after.GetOrigin()


def test_such_a_result_is_aligned_with_its_source_in_slicer_in_any_format(tmp_path, tiny_model):
    source = save(tmp_path / "a.nii", array=voxels())
    result = write_volume(upsample(read_volume(source), tiny_model, 2, PLAIN), tmp_path / "b.nrrd")
    fine, coarse = (sitk.ReadImage(str(path)) for path in (result, source))

    assert fine.GetDirection() == coarse.GetDirection()
    np.testing.assert_allclose(
        fine.TransformContinuousIndexToPhysicalPoint([-0.5] * 3),
        coarse.TransformContinuousIndexToPhysicalPoint([-0.5] * 3),
    )


def test_a_length_of_0_means_that_the_axis_does_not_exist(tmp_path):
    path = save(tmp_path / "a.nii", array=voxels(), sform=(AFFINE, 1))
    patched(path, (40, np.array([4, 4, 5, 6, 0], "<i2").tobytes()))

    np.testing.assert_array_equal(read_volume(path).array, voxels().T)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mgz"])
@pytest.mark.parametrize("behind", [bytes(999), b"appended by a tape or a download"])
def test_bytes_after_a_compressed_volume_are_ignored_with_a_warning(tmp_path, caplog, suffix, behind):
    volume = Volume(np.tile(voxels(), (4, 4, 4)), VolumeGeometry((24, 20, 16), (1.0, 1.0, 2.0)))
    path = write_volume(volume, tmp_path / f"a{suffix}")
    path.write_bytes(path.read_bytes() + behind)

    np.testing.assert_array_equal(read_volume(path).array, volume.array)
    assert ("which is ignored" in caplog.text) == any(behind)


def test_a_damaged_end_of_a_compressed_volume_is_refused(tmp_path):
    path = write_volume(Volume(voxels(), VolumeGeometry((6, 5, 4), (1.0, 1.0, 2.0))), tmp_path / "a.nii.gz")
    content = bytearray(path.read_bytes())
    content[-6] ^= 1
    path.write_bytes(bytes(content) + b"behind")

    with pytest.raises(InputError, match="damaged"):
        read_volume(path)


# --- no spacing


def without_spacing(folder, kind):
    """Return a file that does not state its voxel spacing, in the given format."""
    if kind == "nrrd":
        return nrrd(folder / "a.nrrd")
    if kind == "mha":
        path = folder / "a.mha"
        sitk.WriteImage(sitk.GetImageFromArray(voxels()), str(path))
        path.write_bytes(re.sub(rb"ElementSpacing[^\n]*\n", b"", path.read_bytes()))
        return path
    if kind == "mgh":
        nib.MGHImage(voxels().astype(np.float32), np.eye(4)).to_filename(folder / "a.mgh")
        return patched(folder / "a.mgh", (28, b"\0\0"))
    return patched(save(folder / "a.nii", array=voxels()), (80, bytes(12)))


@pytest.mark.parametrize("kind", ["nrrd", "mha", "mgh", "nii"])
def test_a_missing_spacing_causes_a_warning_in_every_format(tmp_path, caplog, kind):
    volume = read_volume(without_spacing(tmp_path, kind))

    assert volume.geometry.spacing == (1, 1, 1)
    assert "spacing" in caplog.text
    assert "assumed" in caplog.text


def test_a_spacing_of_two_axes_counts_as_missing(tmp_path, caplog):
    read_volume(nrrd(tmp_path / "a.nrrd", "spacings: 1 1 nan"))

    assert "states no voxel spacing" in caplog.text


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_spacing_of_0_is_refused_by_name(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    if suffix == ".nrrd":
        nrrd(path, "spacings: 0 0 0")
    else:
        sitk.WriteImage(sitk.GetImageFromArray(voxels()), str(path))
        path.write_bytes(path.read_bytes().replace(b"ElementSpacing = 1 1 1", b"ElementSpacing = 0 0 0"))

    with pytest.raises(InputError, match="states a voxel spacing of 0; correct its header"):
        read_volume(path)


# --- bzip2


def test_nrrd_compressed_by_bzip2_is_read_attached_and_detached(tmp_path):
    packed = bz2.compress(voxels().T.tobytes(order="C"))
    (tmp_path / "b.raw.bz2").write_bytes(packed)
    files = [
        nrrd(tmp_path / "a.nrrd", *IN_SPACE, data=packed, encoding="bzip2"),
        nrrd(tmp_path / "b.nhdr", *IN_SPACE, "data file: b.raw.bz2", data=b"", encoding="bz2"),
    ]
    plain = read_volume(nrrd(tmp_path / "plain.nrrd", *IN_SPACE))

    for file in files:
        np.testing.assert_array_equal(read_volume(file).array, plain.array)
        assert read_volume(file).geometry == plain.geometry


@pytest.mark.parametrize("spoil", [lambda packed: packed[:-20], lambda packed: packed[:40] + b"xx" + packed[42:]])
def test_damaged_bzip2_is_refused(tmp_path, spoil):
    packed = bz2.compress(voxels().T.tobytes())

    with pytest.raises(InputError, match="damaged"):
        read_volume(nrrd(tmp_path / "a.nrrd", *IN_SPACE, data=spoil(packed), encoding="bzip2"))


# --- halves and names


def halves(folder):
    save(folder / "pair.img", array=voxels(), sform=(AFFINE, 1), kind=nib.Nifti1Pair)
    sitk.WriteImage(sitk.GetImageFromArray(voxels()), str(folder / "a.mhd"))
    nrrd(folder / "a.nhdr", *IN_SPACE, "data file: voxels.raw", data=b"")
    (folder / "voxels.raw").write_bytes(voxels().tobytes())


@pytest.mark.parametrize(
    ("lost", "read"), [("pair.img", "pair.hdr"), ("pair.hdr", "pair.img"), ("a.raw", "a.mhd"), ("voxels.raw", "a.nhdr")]
)
def test_the_missing_half_of_a_volume_is_named(tmp_path, lost, read):
    halves(tmp_path)
    read_volume(tmp_path / read)
    (tmp_path / lost).unlink()

    with pytest.raises(InputError, match=rf"{lost}, .* does not exist; copy"):
        read_volume(tmp_path / read)


@pytest.mark.parametrize(
    ("name", "packed", "told"),
    [
        ("a.nii", True, "compressed with gzip, although its extension does not say so; rename it to a.nii.gz"),
        ("a.nii.gz", False, "not compressed, although its extension says so; rename it to a.nii."),
        ("a.nrrd", True, "compressed with gzip, although its extension does not say so; decompress it first"),
        ("a.nii.gz", b"<!DOCTYPE html><title>404</title>", "nor is it an uncompressed volume; copy or export it again"),
        ("a.mgz", b"PK\3\4" + bytes(500), "nor is it an uncompressed volume; copy or export it again"),
    ],
)
def test_a_file_name_with_the_wrong_compression_is_refused_with_the_right_name(tmp_path, name, packed, told):
    content = save(tmp_path / "plain.nii", array=voxels(), sform=(AFFINE, 1)).read_bytes()
    other = packed if isinstance(packed, bytes) else gzip.compress(content) if packed else content
    (tmp_path / name).write_bytes(other)

    with pytest.raises(InputError) as error:
        read_volume(tmp_path / name)

    assert told in str(error.value)


def test_a_sequence_of_volumes_is_described_as_one(tmp_path):
    data = np.concatenate([voxels().ravel()] * 3).tobytes()
    lines = (IN_SPACE[0], IN_SPACE[1] + " none", IN_SPACE[2], "kinds: domain domain domain list")

    with pytest.raises(InputError, match="sequence of 3 volumes; split it first"):
        read_volume(nrrd(tmp_path / "a.nrrd", *lines, data=data, sizes="4 5 6 3"))


# --- the records of the formats


@pytest.mark.parametrize("suffix", [suffix for known in FORMATS for suffix in known.written])
def test_a_format_keeps_what_its_record_says_and_nothing_else(tmp_path, oblique_geometry, suffix):
    said = FileHeader(
        dtype=np.dtype(np.int16),
        scaled=True,
        description="T1 of a phantom",
        qform_code=2,
        sform_code=3,
        padding=(-5.0, -5.0),
        component="phase",
        profile=SliceProfile((AxisProfile("gaussian", 1.2), None, None)),
        metadata={"cal_max": "800.0"},
    )
    array = np.random.default_rng(0).normal(100, 30, oblique_geometry.shape).astype(np.float32)
    found = read_volume(write_volume(Volume(array, oblique_geometry, said), tmp_path / f"a{suffix}")).header
    keeps = next(known.keeps for known in FORMATS if suffix in known.suffixes)

    differ = {name for name in FileHeader.__dataclass_fields__ if getattr(found, name) != getattr(said, name)}
    # Integers with a slope become floating-point numbers in formats without slopes.
    default = set() if "scaled" in keeps else {"dtype"}
    assert differ - default == set(FileHeader.__dataclass_fields__) - keeps - {"dtype"}
