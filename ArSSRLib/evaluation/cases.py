"""Cases: one volume, coarsened in one way, as the input of every method.

They can also be written as files, for results of other programs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ArSSRLib.acquisition.matrices import coarse_shape
from ArSSRLib.errors import InputError
from ArSSRLib.evaluation.degradation import Acquisition, acquisition
from ArSSRLib.evaluation.ground_truth import GroundTruth, prepare_ground_truth, subject_name
from ArSSRLib.evaluation.protocol import Protocol, Scale
from ArSSRLib.geometry import VolumeGeometry, scale_for_isotropic, scale_label, times
from ArSSRLib.io import write_volume
from ArSSRLib.io.sources import Source, read_checked
from ArSSRLib.volume import Volume

REAL = "real"
# An axis of a real volume whose spacing exceeds the finest by a smaller factor is not changed.
THICKER = 1.05


@dataclass(frozen=True)
class Case:
    """One volume, coarsened in one way.

    Attributes:
        subject: Name of the subject.
        coarse: Input of the methods.
        fine: Grid of the results.
        acquisition: The acquisition between the two grids.
        scale: Requested scale, along i, j, k.
        degradation: Name of the degradation; "real" for a volume that was acquired with thick slices.
    """

    subject: str
    coarse: Volume
    fine: VolumeGeometry
    acquisition: Acquisition
    scale: Scale
    degradation: str

    @property
    def factors(self) -> Scale:
        """The exact scale of the rounded sizes, along i, j, k."""
        i, j, k = (fine / coarse for fine, coarse in zip(self.fine.size, self.coarse.geometry.size, strict=True))
        return (i, j, k)


def cases_of(truth: GroundTruth, protocol: Protocol) -> Iterator[Case]:
    """Yield a truth at every scale and degradation of a protocol."""
    geometry = truth.volume.geometry
    for scale in protocol.scales:
        for name in protocol.degradations:
            shape = coarse_shape(geometry.shape, scale[::-1])
            matrices = acquisition(geometry.shape, shape, name)
            # Without the header of its file, which would cause rounding to the stored integers.
            coarse = Volume(matrices.coarsened(truth.volume.array), geometry.resized(shape[::-1]))
            yield Case(truth.subject, coarse, geometry, matrices, scale, name)


def real_case(source: Source, protocol: Protocol) -> Case:
    """Return the case of making a thick-slice volume isotropic.

    Raises:
        InputError: If the volume cannot be read, has voxels that are not finite, or has no thick slices.
    """
    volume = read_checked(source.path)
    geometry = volume.geometry
    if max(scale_for_isotropic(geometry)) <= THICKER:
        shown = times(geometry.spacing, 4)
        msg = f"{source.path.name} has voxels of {shown} mm, which are not thick slices; omit it from the real volumes."
        raise InputError(msg)
    i, j, k = (factor if factor > THICKER else 1.0 for factor in scale_for_isotropic(geometry))
    fine = geometry.upsampled((i, j, k))
    matrices = acquisition(fine.shape, geometry.shape, protocol.real_profile)
    coarse = Volume(volume.array.astype(np.float32), geometry)
    return Case(subject_name(source), coarse, fine, matrices, (i, j, k), REAL)


def write_inputs(protocol: Protocol, simulated: Sequence[Source], real: Sequence[Source], folder: Path) -> list[Path]:
    """Write the inputs of the methods and the truths, for another program.

    Args:
        protocol: Defines the cases.
        simulated: Volumes that serve as truth.
        real: Thick-slice volumes.
        folder: Output folder; existing files are replaced.

    Returns:
        The files: ``{subject}_{scale}_{degradation}.nii.gz`` and ``{subject}_truth.nii.gz``.

    Raises:
        ArSSRError: If a volume is not usable or cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for source in simulated:
        truth = prepare_ground_truth(source, protocol)
        written.append(write_volume(truth.volume, folder / f"{truth.subject}_truth.nii.gz", overwrite=True))
        written += [_written(case, folder) for case in cases_of(truth, protocol)]
    return [*written, *(_written(real_case(source, protocol), folder) for source in real)]


def _written(case: Case, folder: Path) -> Path:
    name = f"{case.subject}_{scale_label(case.scale)}_{case.degradation}.nii.gz"
    return write_volume(case.coarse, folder / name, overwrite=True)
