"""Creates the volumes and outputs that `arssr info` and `arssr upsample` refuse; the messages are on the page."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import odd_files
import pydicom
import SimpleITK as sitk  # noqa: N813
from dicom_series import write_frames, write_series

from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.volume import Volume

Case = Callable[[Path], list[str]]
GRID = VolumeGeometry((7, 6, 8), (1.0, 1.0, 2.0), (-20.0, 5.0, 3.0))


def noise() -> np.ndarray:
    return np.random.default_rng(4).integers(0, 900, GRID.shape).astype(np.int16)


def volume() -> Volume:
    return Volume(noise(), GRID)


def info(make: Callable[[Path], Path]) -> Case:
    return lambda folder: ["info", str(make(folder))]


def good(folder: Path) -> Path:
    return odd_files.nifti(folder / "good.nii.gz", noise().T)


def upsample(*more: str, output: str = "out.nii.gz", source: Callable[[Path], Path] = good) -> Case:
    return lambda folder: [
        "upsample", str(source(folder)), output if output.startswith("/") else str(folder / output),
        *(more or ("--scale", "2")),
    ]  # fmt: skip


def series(edit=None, *, keep=None, then=lambda folder: None) -> Case:
    def make(folder: Path) -> Path:
        write_series(folder / "series", volume(), series="1.2.840.1", edit=edit, keep=keep)
        then(folder / "series")
        return folder / "series"

    return info(make)


def setting(**values) -> Callable[[int, pydicom.Dataset], None]:
    def edit(_k, dataset):
        for name, value in values.items():
            setattr(dataset, name, value)

    return edit


def leaning(k, dataset):
    dataset.ImagePositionPatient = [0.2 * k, 0, 2 * k]


def uneven(k, dataset):
    dataset.ImagePositionPatient = [0, 0, 2 * k if k < 5 else 3.4 * k]


def echoes(folder: Path) -> None:
    other = Volume(noise() + 1, GRID)
    write_series(folder / "more", other, series="1.2.840.1", description="T1 axial")
    for file in (folder / "more").iterdir():
        file.rename(folder / f"echo2{file.name}")
    (folder / "more").rmdir()


def two_series(folder: Path) -> Path:
    for uid, name in (("1.2.840.1", "T1 axial"), ("1.2.840.2", "T2 axial")):
        write_series(folder / "study", volume(), series=uid, description=name)
    return folder / "study"


def frames(path: Path, **values) -> Path:
    write_frames(path, volume(), **values)
    return path


def cut(path: Path, length: int) -> Path:
    path.write_bytes(path.read_bytes()[:length])
    return path


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def text(path: Path, name: str, head: str, *, data: bytes = b"") -> Path:
    return written(path / name, head.encode() + data)


def image(path: Path, array: np.ndarray, *, lost: str = "") -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    if lost:
        path.with_name(lost).unlink()
    return path


def pair(folder: Path, lost: str) -> Path:
    nib.save(nib.Nifti1Pair(noise().T, odd_files.AFFINE), folder / "a.img")
    (folder / lost).unlink()
    return folder / ("a.img" if lost == "a.hdr" else "a.hdr")


def sequence(folder: Path) -> Path:
    head = NRRD.replace("3\nsizes: 7 6 8", "4\nsizes: 7 6 2 4\nkinds: domain domain domain list")
    return text(folder, "a.nrrd", head.replace("1 1 2", "1 1 2 nan") + "\n", data=noise().tobytes())


def nothing_finite(folder: Path) -> Path:
    return odd_files.nifti(folder / "nan.nii.gz", np.full((6, 5, 4), np.nan, np.float32))


def vectors(folder: Path) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.int16), isVector=True), str(folder / "a.nrrd"))
    return folder / "a.nrrd"


def link(path: Path, target: str) -> Path:
    path.symlink_to(target)
    return path


def bids(folder: Path) -> Path:
    several(folder)
    return text(folder, "dataset_description.json", '{"Name": "a", "BIDSVersion": "1.10.0"}').parent


def extended(folder: Path) -> Path:
    """Return the bytes of a NIfTI file with a comment after its header, and 0 as the offset of its voxels."""
    image = nib.Nifti1Image(noise().T, odd_files.AFFINE)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"T1 axial"))
    nib.save(image, folder / "a.nii")
    content = (folder / "a.nii").read_bytes()
    return written(folder / "a.nii", content[:108] + bytes(4) + content[112:])


def mixed(folder: Path) -> Path:
    write_series(folder / "mixed", volume())
    odd_files.nifti(folder / "mixed" / "t2.nii.gz", noise().T)
    return folder / "mixed"


def several(folder: Path) -> Path:
    (folder / "several").mkdir()
    for name in "ab":
        odd_files.nifti(folder / "several" / f"{name}.nii.gz", noise().T)
    return folder / "several"


def slice_alone(folder: Path) -> Path:
    return odd_files.nifti(folder / "slice.nii.gz", noise().T[:, :, :1])


def ct(folder: Path) -> Path:
    write_series(folder / "ct", volume(), edit=setting(Modality="CT"))
    return folder / "ct"


NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 7 6 8\nspacings: 1 1 2\nendian: little\nencoding: raw\n"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"

CASES: dict[str, Case] = {
    "a file that does not exist": info(odd_files.missing),
    "an empty file": info(odd_files.zero_bytes),
    "a text file named .nii": info(odd_files.text_file),
    "a truncated compressed NIfTI file": info(odd_files.truncated),
    "a truncated NIfTI file": info(odd_files.truncated_uncompressed),
    "a time series": info(odd_files.four_dimensions),
    "a two-dimensional image": info(odd_files.two_dimensions),
    "color voxels": info(odd_files.colors),
    "complex voxels": info(odd_files.complex_numbers),
    "a singular orientation matrix": info(odd_files.singular_affine),
    "a sheared orientation matrix": info(odd_files.sheared_affine),
    "a file in an unknown format": info(odd_files.no_format),
    "an empty folder": info(odd_files.empty_folder),
    "a folder whose subfolder holds the volumes": info(lambda f: several(f).parent),
    "a BIDS data set": info(bids),
    "a header extension without a voxel offset": info(extended),
    "a header without its voxels (.hdr)": info(lambda f: pair(f, "a.img")),
    "voxels without their header (.img)": info(lambda f: pair(f, "a.hdr")),
    "a header without its voxels (.mhd)": info(lambda f: image(f / "a.mhd", noise(), lost="a.raw")),
    "a header without its voxels (.nhdr)": info(lambda f: text(f, "a.nhdr", f"{NRRD}data file: b.raw\n\n")),
    "an uncompressed file named .gz": info(lambda f: written(f / "a.nii.gz", gzip.decompress(good(f).read_bytes()))),
    "a compressed file named .nii": info(lambda f: written(f / "a.nii", good(f).read_bytes())),
    "a compressed file named .nrrd": info(lambda f: written(f / "a.nrrd", gzip.compress(NRRD.encode()))),
    "a truncated NRRD file": info(lambda f: cut(image(f / "a.nrrd", noise()), 300)),
    "an NRRD file with frames": info(sequence),
    "an NRRD file with vectors": info(vectors),
    "a broken link": info(lambda f: link(f / "a.nii.gz", "gone.nii.gz")),
    "a git-annex file that was not fetched": info(lambda f: link(f / "a.nii.gz", ".git/annex/objects/x.nii.gz")),
    "a Git LFS file that was not fetched": info(lambda f: written(f / "a.nii.gz", LFS)),
    "DICOM beside a volume": info(mixed),
    "several series": info(two_series),
    "a series that does not exist": lambda f: ["info", str(two_series(f)), "--series", "FLAIR"],
    "a series option for a file that is not DICOM": lambda f: ["info", str(good(f)), "--series", "FLAIR"],
    "a missing slice": series(keep=[0, 1, 2, 4, 5, 6, 7]),
    "slices missing in two places": series(keep=[0, 2, 3, 4, 6, 7]),
    "a changing slice distance": series(uneven),
    "a tilted gantry": series(leaning),
    "two echoes": series(then=echoes),
    "a single slice": series(keep=[3]),
    "slices that are not parallel": series(lambda k, d: setting(
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0] if k else [0, 1, 0, 0, 0, 1])(k, d)),
    "a mosaic": series(setting(ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])),
    "a screenshot": series(lambda _k, d: delattr(d, "ImagePositionPatient")),
    "a truncated slice": series(then=lambda folder: cut(sorted(folder.iterdir())[0], 600) and None),
    "a slice that was not fetched": series(then=lambda folder: sorted(folder.iterdir())[0].write_bytes(LFS) and None),
    "frames with different slopes": info(lambda f: frames(f / "a.dcm", slopes=[1, 2, 3, 4, 5, 6, 7, 8])),
    "a text file named .dcm": info(lambda f: written(f / "a.dcm", b"no image" * 40)),
    "an output that exists": upsample(output="good.nii.gz"),
    "the uncertainty as the output": lambda folder: upsample(
        "--scale", "2", "--quality", "best", "--uncertainty", str(folder / "out.nii.gz"))(folder),
    "an output without a format": upsample(output="out"),
    "an output of an unknown format": upsample(output="out.png"),
    "an output format with two files": upsample(output="out.hdr"),
    "a DICOM file as output": upsample(output="out.dcm"),
    "an output in a folder that does not exist": upsample(output="none/out.nii.gz"),
    "a device as output": upsample(output="/dev/null"),
    "a name that Windows does not allow": upsample(output="a:b.nii.gz"),
    "one file for several volumes": upsample(source=several),
    "a derived series of CT": upsample(source=ct, output="derived"),
    "a label map": upsample(source=lambda f: odd_files.nifti(f / "labels.nii.gz", (noise() > 450).astype(np.int16).T)),
    "no finite voxel": upsample(source=nothing_finite),
    "a single slice, made isotropic": upsample("--isotropic", source=slice_alone),
    "a scale below 1": upsample("--scale", "0.5"),
    "a coarser spacing": upsample("--spacing", "3"),
    "a smaller size": upsample("--size", "3", "3", "3"),
    "a scale that changes nothing": upsample("--scale", "1"),
    "a model that does not exist": upsample("--scale", "2", "--model", "none"),
    "a device that is not available": upsample("--scale", "2", "--device", "cuda:7"),
    "too small a memory limit": upsample("--scale", "2", "--memory-limit", "0.001"),
}  # fmt: skip
