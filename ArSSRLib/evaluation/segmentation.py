"""Agreement of the tissues in a result and its truth: ANTs segments both, and their labels are compared.

ANTs runs in a separate Python environment, in a process that exchanges files with this one: `ants_job` runs there.
Three tissues are distinguished by intensity alone; six regions by the priors of the OASIS-30 Atropos set, if available.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ArSSRLib.errors import InputError, one_line
from ArSSRLib.evaluation import MetricUnavailable
from ArSSRLib.evaluation.ants_job import NO_ANTS
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import read_volume, write_volume
from ArSSRLib.metrics import Mask, brain_mask
from ArSSRLib.volume import Volume

FloatArray = npt.NDArray[np.floating]
Labels = npt.NDArray[np.uint8]

PYTHON_VARIABLE, PRIORS_VARIABLE = "ARSSR_ANTS_PYTHON", "ARSSR_ANTS_PRIORS"
REQUIREMENTS = Path(__file__).with_name("ants_environment.txt")
STEPS = (
    f"create a separate environment: python -m venv ants, ants/bin/python -m pip install -r {REQUIREMENTS}, "
    f"and set {PYTHON_VARIABLE} to ants/bin/python"
)
# By mean intensity, from label 1; in a T1-weighted brain they are fluid, gray and white matter.
TISSUES = ("darkest tissue", "middle tissue", "brightest tissue")
# In the order of the OASIS-30 Atropos priors.
REGIONS = ("fluid", "cortical gray matter", "white matter", "deep gray matter", "brain stem", "cerebellum")
# Percentiles in the mask for clipping intensities; otherwise, a few bright vessels would count as a tissue.
CLIPPED_TO = (2.5, 99.5)
TEMPLATE, PRIORS = "T_template0_BrainCerebellum.nii.gz", "Priors2/priors{}.nii.gz"
# The segmentation of the last truth, with which the results of all methods are compared.
_known: dict[tuple[object, ...], Labels] = {}


@dataclass(frozen=True)
class Ants:
    """An installation of ANTs.

    Attributes:
        python: The Python interpreter that has it.
        template: Brain image of the priors; None without priors.
        priors: Probability of each of `REGIONS`, as files; empty to distinguish `TISSUES` by intensity.
    """

    python: str
    template: Path | None = None
    priors: tuple[Path, ...] = ()

    @property
    def regions(self) -> Sequence[str]:
        """Names of the labels, from 1."""
        return REGIONS if self.priors else TISSUES


def configured_ants() -> Ants:
    """Return the ANTs that the user has configured: ARSSR_ANTS_PYTHON, and the folder of priors in ARSSR_ANTS_PRIORS.

    The folder is that of OASIS-30 Atropos as distributed; volumes must then contain the brain alone, like its template.

    Raises:
        MetricUnavailable: If none is configured, or a file is missing; the message says what to do.
    """
    python = os.environ.get(PYTHON_VARIABLE, "")
    if not python:
        msg = f"The segmentation needs ANTs, but {PYTHON_VARIABLE} is not set to a Python that has it; {STEPS}."
        raise MetricUnavailable(msg)
    folder = os.environ.get(PRIORS_VARIABLE, "")
    if not folder:
        return Ants(python)
    template = Path(folder) / TEMPLATE
    priors = tuple(Path(folder) / PRIORS.format(n + 1) for n in range(len(REGIONS)))
    missing = [path for path in (template, *priors) if not path.is_file()]
    if missing:
        msg = (
            f"{PRIORS_VARIABLE} is set to {folder}, but {missing[0]} does not exist; set it to the folder of OASIS-30 "
            "Atropos."
        )
        raise MetricUnavailable(msg)
    return Ants(python, template, priors)


def identity_of_ants() -> str:
    """Return what determines a segmentation besides the volume: the version of ANTs, and a checksum of the priors.

    Raises:
        MetricUnavailable: If there is no ANTs.
    """
    ants = configured_ants()
    files = [path for path in (ants.template, *ants.priors) if path is not None]
    sums = [_checksum(path, path.stat().st_mtime_ns) for path in files]
    digest = hashlib.sha256("".join(sums).encode()).hexdigest()[:16]
    return f"antspyx {_version_of(ants.python)}, priors {digest if sums else 'none'}"


# By name and modification time, so that a replaced file is not reused within one process.
@lru_cache(maxsize=16)
def _checksum(path: Path, _changed: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@lru_cache(maxsize=4)
def _version_of(python: str) -> str:
    """Return the version of the ANTs package without importing it, which takes seconds."""
    done = _ended(python, "-c", "from importlib.metadata import version; print(version('antspyx'))")
    # Other installations may have no version here; the segmentation reports whether they are usable.
    return one_line(done.stdout)[:40] if done.returncode == 0 else "unknown"


def dice_and_iou(
    reference: FloatArray, result: FloatArray, spacing: tuple[float, float, float]
) -> dict[str, tuple[float, float]]:
    """Return the overlap of the tissues of a result with those of the truth.

    Args:
        reference: The truth, shape (k, j, i).
        result: The result, same shape.
        spacing: Spacing along i, j, k, in mm.

    Returns:
        Dice and intersection over union of each region, see `overlaps`; both use the `brain_mask` of the truth.

    Raises:
        InputError: If the shapes differ, or ANTs cannot segment a volume.
        MetricUnavailable: If there is no ANTs.
    """
    if reference.shape != result.shape:
        msg = f"The segmentation compares volumes of the same shape, got {reference.shape} and {result.shape}."
        raise InputError(msg)
    ants = configured_ants()
    digest = hashlib.sha256(np.ascontiguousarray(reference).tobytes()).hexdigest()
    key = (ants, reference.shape, spacing, digest)
    if key not in _known:
        _known.clear()
        _known[key] = segment(reference, brain_mask(reference), spacing, ants=ants)
    return overlaps(_known[key], segment(result, brain_mask(reference), spacing, ants=ants), ants.regions)


def segment(volume: FloatArray, mask: Mask, spacing: tuple[float, float, float], *, ants: Ants) -> Labels:
    """Return the tissue of each voxel: N4 bias correction and Atropos of ANTs.

    Args:
        volume: Intensities, shape (k, j, i).
        mask: Voxels to segment, same shape.
        spacing: Spacing along i, j, k, in mm.
        ants: The ANTs installation, with or without priors.

    Returns:
        Labels, shape (k, j, i): 0 outside the mask, otherwise from 1, in the order of the priors, or of the mean
            intensity.

    Raises:
        InputError: If ANTs cannot segment the volume.
        MetricUnavailable: If the Python interpreter of ANTs is missing or lacks the package.
    """
    if not mask.any():
        msg = (
            f"The mask of a volume of shape {volume.shape} is empty, so there is nothing to segment; check the volume."
        )
        raise InputError(msg)
    clipped = np.clip(volume, *np.percentile(volume[mask], CLIPPED_TO))
    k, j, i = volume.shape
    geometry = VolumeGeometry((i, j, k), spacing)
    with tempfile.TemporaryDirectory(prefix="arssr-ants-") as name:
        folder = Path(name)
        image = write_volume(Volume(clipped.astype(np.float32), geometry), folder / "image.nii.gz")
        inside = write_volume(Volume(mask.astype(np.uint8), geometry), folder / "mask.nii.gz")
        job = {
            "image": str(image),
            "mask": str(inside),
            "labels": str(folder / "labels.nii.gz"),
            "classes": len(ants.regions),
            "template": str(ants.template or ""),
            "priors": [str(prior) for prior in ants.priors],
        }
        labels = _run(ants.python, job, folder)
    if labels.shape != volume.shape:
        msg = f"ANTs returned labels of shape {labels.shape}, expected {volume.shape}; reinstall it: {STEPS}."
        raise InputError(msg)
    return labels if ants.priors else ordered(labels, volume)


def ordered(labels: Labels, volume: FloatArray) -> Labels:
    """Renumber labels, shape (k, j, i), from 1, by the mean intensity of their voxels; 0 is unchanged."""
    found = [label for label in np.unique(labels) if label]
    found.sort(key=lambda label: float(volume[labels == label].mean(dtype=np.float64)))
    numbers = np.zeros(256, dtype=np.uint8)
    numbers[found] = np.arange(1, len(found) + 1)
    return np.asarray(numbers[labels])


def overlaps(reference: Labels, result: Labels, regions: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return Dice and intersection over union of each region, unitless; 1 is full agreement.

    The regions are the names of the labels 1, 2 and so on. The overlap of a region in neither is NaN.
    """
    table = {}
    for label, name in enumerate(regions, start=1):
        one, other = reference == label, result == label
        both, total = int((one & other).sum()), int(one.sum() + other.sum())
        table[name] = (2 * both / total, both / (total - both)) if total else (float("nan"), float("nan"))
    return table


def _run(python: str, job: Mapping[str, object], folder: Path) -> Labels:
    """Run a job, whose files are in a folder, and return the labels that it wrote."""
    file = folder / "job.json"
    file.write_text(json.dumps(job), encoding="utf-8")
    # One thread and a seed, for reproducible labels, and because other processes run at the same time.
    settings = {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1", "ANTS_RANDOM_SEED": "1"}
    scratch = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    script = Path(__file__).with_name("ants_job.py")
    done = _ended(python, str(script), str(file), environment={**settings, **os.environ, **scratch})
    if done.returncode == NO_ANTS:
        msg = f"{python} has no ANTs ({one_line(done.stderr)[-120:]}); {STEPS}."
        raise MetricUnavailable(msg)
    labels = Path(str(job["labels"]))
    if done.returncode != 0 or not labels.is_file():
        said = one_line(done.stderr)[-200:] or "it printed nothing"
        msg = f"ANTs could not segment a volume (exit code {done.returncode}: {said}); check the volume and its mask."
        raise InputError(msg)
    return np.asarray(read_volume(labels).array).astype(np.uint8)


def _ended(
    python: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the Python of ANTs, isolated from our packages and from modules beside a script, until it ends."""
    try:
        return subprocess.run([python, "-I", *arguments], env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        msg = f"{python}, the Python of ANTs, cannot be started ({error.strerror}); {STEPS}."
        raise MetricUnavailable(msg) from error
