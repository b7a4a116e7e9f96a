"""Creates inputs that ArSSR accepts with a warning; the messages are on the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import odd_files
from dicom_series import write_series
from field.refused_volumes import NRRD, Case, good, info, noise, setting, several, text, upsample, volume, written
from nifti_files import save

from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.volume import Volume

THICK = VolumeGeometry((20, 16, 6), (1.0, 1.0, 4.0))
FLAT = {"SliceThickness": "3", "MRAcquisitionType": "2D"}


def patched(path: Path, *changes: tuple[int, bytes]) -> Path:
    """Change bytes of a file."""
    content = bytearray(path.read_bytes())
    for at, new in changes:
        content[at : at + len(new)] = new
    return written(path, bytes(content))


def nifti(*changes: tuple[int, bytes], qform: np.ndarray | None = None) -> Case:
    def make(folder: Path) -> Path:
        forms = {"sform": (odd_files.AFFINE, 1)} | ({} if qform is None else {"qform": (qform, 1)})
        return patched(save(folder / "a.nii", array=noise().T, **forms), *changes)

    return info(make)


def nrrd(*lines: str) -> Case:
    head = "".join(line for line in NRRD.splitlines(keepends=True) if not line.startswith("spacings"))
    return info(
        lambda folder: text(folder, "a.nrrd", head + "".join(f"{x}\n" for x in lines) + "\n", data=noise().tobytes())
    )


def mgh(folder: Path) -> Path:
    nib.MGHImage(noise().T.astype(np.float32), np.eye(4)).to_filename(folder / "a.mgh")
    return patched(folder / "a.mgh", (28, b"\0\0"))


def series(**values: object) -> Case:
    def make(folder: Path) -> Path:
        array = np.random.default_rng(1).integers(1, 900, THICK.shape).astype(np.int16)
        edit = setting(**{name: value for name, value in values.items() if not isinstance(value, tuple)})

        def each(k: int, dataset: object) -> None:
            edit(k, dataset)
            for name, value in values.items():
                if isinstance(value, tuple):
                    setattr(dataset, name, value[k])

        write_series(folder / "series", Volume(array, THICK), edit=each)
        return folder / "series"

    return info(make)


def copies(folder: Path) -> Path:
    write_series(folder / "series", volume())
    for path in list((folder / "series").iterdir()):
        written(path.with_name(f"copy{path.name}"), path.read_bytes())
    return folder / "series"


def beside(sidecar: object) -> Case:
    def make(folder: Path) -> Path:
        array = np.random.default_rng(1).integers(1, 900, (20, 16, 6)).astype(np.int16)
        save(folder / "a.nii.gz", array=array, sform=(np.diag([1, 1, 4, 1]), 1))
        text(folder, "a.json", sidecar if isinstance(sidecar, str) else json.dumps(sidecar))
        return folder / "a.nii.gz"

    return info(make)


def holes(folder: Path) -> Path:
    array = noise().T.astype(np.float32)
    array[0, 0, :3] = np.nan
    return odd_files.nifti(folder / "a.nii.gz", array)


def phase(folder: Path) -> Path:
    k, j, i = np.meshgrid(*[np.arange(n) for n in (12, 24, 20)], indexing="ij")
    slope = 0.2 * j + 0.13 * i + 0.05 * k + np.random.default_rng(0).normal(0, 0.02, k.shape)
    return odd_files.nifti(folder / "a.nii.gz", (np.mod(slope, 1.0) * 8190 - 4096).T.astype(np.float32))


def named(name: str) -> Callable[[Path], Path]:
    return lambda folder: good(folder).rename(folder / name)


def colon(folder: Path) -> Path:
    several(folder)
    (folder / "several" / "a.nii.gz").rename(folder / "several" / "10:30.nii.gz")
    return folder / "several"


CASES: dict[str, Case] = {
    "an NRRD file without spacing": nrrd(),
    "lengths in an unknown unit": nrrd(
        "space: left-posterior-superior", "space directions: (1,0,0) (0,1,0) (0,0,2)", "space origin: (0,0,0)",
        'space units: "furlong" "furlong" "furlong"'),
    "a NIfTI file without spacing": info(
        lambda f: patched(save(f / "a.nii", array=noise().T), (80, bytes(12)))),
    "a NIfTI file without orientation": info(lambda f: save(f / "a.nii", array=noise().T)),
    "an undefined unit of NIfTI": nifti((123, b"\5")),
    "an undefined code of an orientation": nifti((254, b"\x09\0")),
    "two orientations that differ": nifti(qform=np.diag([1.0, 1.0, 3.0, 1.0])),
    "a singular orientation beside a sound one": nifti(
        (280, bytes(48)), qform=np.array(odd_files.AFFINE)),
    "an MGH file without orientation": info(mgh),
    "a sidecar that is not JSON": beside("{"),
    "a sidecar that is a list": beside("[]"),
    "a sidecar with a list instead of a number": beside({"SliceThickness": [2], "MRAcquisitionType": "2D"}),
    "a sidecar with another thickness": beside({"SliceThickness": 6, "MRAcquisitionType": "2D"}),
    "copies of DICOM files": info(copies),
    "an impossible slice thickness": series(**{**FLAT, "SliceThickness": "65"}),
    "a 3D acquisition with thin slices": series(SliceThickness="2", MRAcquisitionType="3D"),
    "slices of different thickness": series(**{**FLAT, "SliceThickness": ("3", "3", "3", "4", "3", "3")}),
    "an acquisition matrix that contradicts itself": series(
        **FLAT, AcquisitionMatrix=[10, 0, 0, 16], InPlanePhaseEncodingDirection="ROW"),
    "voxels that are not finite": upsample(source=holes),
    "wrapped phase": upsample(source=phase),
    "a file named as phase": upsample(source=named("sub-01_part-phase_T1w.nii.gz")),
    "a file named as the real part": upsample(source=named("sub-01_part-real_T1w.nii.gz")),
    "a scale beyond the trained range": upsample("--scale", "1", "1", "9"),
    "a thickness along an axis that does not change": upsample(
        "--scale", "2", "2", "1", "--slice-thickness", "1x1x3", "--consistency", "off"),
    "a name that Windows does not allow": upsample(source=colon, output="results"),
}  # fmt: skip
