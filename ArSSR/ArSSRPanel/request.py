"""The request of the user, validated before anything is started.

Every refusal says what was found, what was expected and what to do next. Nothing is changed, written or computed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import slicer

from ArSSRLib.checkpoint import DEFAULT_MODELS, find_entry
from ArSSRLib.errors import CheckpointError, InputError, shown
from ArSSRLib.geometry import (
    Region,
    VolumeGeometry,
    parse_scale,
    reached_scale,
    scale_for_isotropic,
    scale_for_spacing,
    times,
)
from ArSSRLib.options import DEFAULT_OPTIONS, UpsamplingOptions
from ArSSRPanel import sequences
from ArSSRPanel.attributes import isResult
from ArSSRPanel.nodes import geometryOf
from ArSSRPanel.region import regionOf

Factors = tuple[float, float, float]
Spacing = float | Sequence[float]


@dataclass(frozen=True)
class Request:
    """A valid request for an upsampling.

    Attributes:
        inputVolume: Volume node, or sequence node of volumes.
        outputVolume: Node for the result; None creates a new one.
        scale: Exact factors along i, j, k for the rounded size, unitless.
        roi: Region of interest, or None for the whole volume.
        region: The region of interest in voxels of the upsampled grid, (first, stop) along i, j, k; None for none.
        model: Name of a bundled model, or path of a weights file.
        options: The options.
        allFrames: Whether to upsample every frame of the sequence, not only the current one.
        inputGeometry: Grid of the input at the time of the request.
    """

    inputVolume: slicer.vtkMRMLNode
    outputVolume: slicer.vtkMRMLNode | None
    scale: Factors
    roi: slicer.vtkMRMLMarkupsROINode | None
    region: Region | None
    model: str
    options: UpsamplingOptions
    allFrames: bool
    inputGeometry: VolumeGeometry

    @property
    def frames(self) -> list[slicer.vtkMRMLScalarVolumeNode]:
        """The volumes to upsample: all frames, or the input alone."""
        return sequences.framesOf(self.inputVolume) if self.allFrames else [self.inputVolume]

    @property
    def outputGeometry(self) -> VolumeGeometry:
        """Grid of the result, cropped to the region of interest."""
        return self.outputGeometryOf(self.inputGeometry)

    def outputGeometryOf(self, geometry: VolumeGeometry) -> VolumeGeometry:
        """Return the grid of the result for a volume on another grid of the same size."""
        fine = geometry.upsampled(self.scale)
        if self.region is None:
            return fine
        return fine.cropped([first for first, _ in self.region], [stop - first for first, stop in self.region])


def makeRequest(
    inputVolume: slicer.vtkMRMLNode | None,
    outputVolume: slicer.vtkMRMLNode | None = None,
    *,
    scale: float | Sequence[float] | None = None,
    spacing: Spacing | None = None,
    isotropic: bool = False,
    roi: slicer.vtkMRMLMarkupsROINode | None = None,
    model: str | None = None,
    allFrames: bool = False,
    options: UpsamplingOptions = DEFAULT_OPTIONS,
) -> Request:
    """Return a valid request; specify exactly one of scale, spacing and isotropic.

    Args:
        inputVolume: A scalar volume, or a sequence of them, of which all frames are upsampled.
        outputVolume: Node for the result; None creates a new one.
        scale: Factor of at least 1, or one along each of i, j, k; unitless.
        spacing: Target voxel spacing in mm, or one along each of i, j, k.
        isotropic: Change every axis to the finest spacing of the volume.
        roi: Region of interest, to which the result is restricted; None for the whole volume.
        model: Name of a bundled model, or path of a weights file; None for that of the quality.
        allFrames: Upsample every frame of the sequence of ``inputVolume``.
        options: The options.

    Raises:
        InputError: If a node or a number is not usable.
        CheckpointError: If there is no such model.
    """
    allFrames = allFrames or sequences.isSequence(inputVolume)
    frames = sequences.framesOf(inputVolume) if allFrames else [_require(inputVolume)]
    for frame in frames:
        _requireGrayVolume(frame)
    _requireOutput(outputVolume, inputVolume, allFrames=allFrames)
    if allFrames and options.uncertainty:
        _refuse("The uncertainty is available for a volume, not for a sequence; turn it off, or choose a single frame.")
    geometry = geometryOf(frames[0])
    factors = _factors(geometry, scale=scale, spacing=spacing, isotropic=isotropic)
    region = None
    if roi is not None:
        _requireRegion(roi, frames)
        region = regionOf(roi, sequences.placeOf(inputVolume) if allFrames else inputVolume, factors)
    return Request(
        inputVolume=inputVolume,
        outputVolume=outputVolume,
        scale=factors,
        roi=roi,
        region=region,
        model=_model(model or DEFAULT_MODELS[options.quality]),
        options=options,
        allFrames=allFrames,
        inputGeometry=geometry,
    )


def finest(spacing: Sequence[float], node: slicer.vtkMRMLScalarVolumeNode | None) -> tuple[float, ...]:
    """Return a spacing in mm along i, j, k that leaves finer axes unchanged, so that nothing becomes coarser."""
    return tuple(map(min, spacing, node.GetSpacing() if node is not None else spacing))


def _require(node: slicer.vtkMRMLNode | None) -> slicer.vtkMRMLNode:
    if node is None:
        _refuse("No input volume is selected; select one, or load one with File / Add Data.")
    if not hasattr(node, "IsA") or node.GetScene() is None:
        _refuse(f"The input is {_kindOf(node)} that is not in the scene; pass a volume node of the scene.")
    return node


def _requireGrayVolume(node: slicer.vtkMRMLNode) -> None:
    name = node.GetName()
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        _refuse(
            f'"{name}" is a label map, whose labels cannot be interpolated; upsample the volume on which it was drawn.'
        )
    if node.GetClassName() != "vtkMRMLScalarVolumeNode":
        _refuse(f'"{name}" is {_kindOf(node)}, but a grayscale volume is needed; choose a scalar volume.')
    image = node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None or min(image.GetDimensions()) < 1:
        _refuse(f'"{name}" has no voxels; load it again or choose another volume.')
    if image.GetNumberOfScalarComponents() != 1:
        _refuse(
            f'"{name}" has {image.GetNumberOfScalarComponents()} values per voxel, but one is needed; '
            "extract a channel first, for example with the Vector To Scalar Volume module."
        )
    if min(image.GetDimensions()) < 2:
        _refuse(
            f'"{name}" is a single slice ({times(image.GetDimensions())} voxels), but at least 2 along every axis '
            "are needed; choose the whole volume."
        )


def _requireOutput(output: slicer.vtkMRMLNode | None, source: slicer.vtkMRMLNode, *, allFrames: bool) -> None:
    if output is None:
        return
    _require(output)
    if output is source or (allFrames and output is sequences.sequenceOf(source)):
        _refuse(f'"{output.GetName()}" is the input, which is never changed; choose another output, or a new one.')
    if allFrames and sequences.isSequence(source) and not sequences.isSequence(output):
        _refuse(f'"{output.GetName()}" cannot store the frames of a sequence; choose a sequence node, or a new output.')
    if allFrames and sequences.isSequence(output):
        return
    if output.GetClassName() != "vtkMRMLScalarVolumeNode":
        _refuse(f'The output "{output.GetName()}" is {_kindOf(output)}; choose a scalar volume, or a new one.')
    shown = sequences.sequenceOf(output)
    if shown is not None and not (allFrames and isResult(shown)):
        _refuse(
            f'The output "{output.GetName()}" shows the frames of the sequence "{shown.GetName()}", which would be '
            "lost; choose another output, or a new one."
        )


def _requireRegion(roi: slicer.vtkMRMLNode, frames: Sequence[slicer.vtkMRMLScalarVolumeNode]) -> None:
    if not hasattr(roi, "IsA") or not roi.IsA("vtkMRMLMarkupsROINode"):
        _refuse(f"The region of interest is {_kindOf(roi)}; draw one with the Markups module.")
    first = geometryOf(frames[0])
    if not all(geometryOf(frame).matches(first) for frame in frames):
        _refuse("The frames of the sequence lie at different positions; upsample them without a region of interest.")


def _factors(
    geometry: VolumeGeometry, *, scale: float | Sequence[float] | None, spacing: Spacing | None, isotropic: bool
) -> Factors:
    given = (scale is not None) + (spacing is not None) + bool(isotropic)
    if given != 1:
        _refuse(f"Specify exactly one of scale, spacing and isotropic; got {given}.")
    if scale is not None:
        factors = parse_scale(scale)
    elif spacing is not None:
        factors = scale_for_spacing(geometry, _numbers(spacing))
    else:
        factors = scale_for_isotropic(geometry)
    return reached_scale(geometry, factors)


def _numbers(spacing: Spacing) -> list[float]:
    try:
        return [float(length) for length in np.ravel(np.asarray(spacing, dtype=np.float64))]
    except (TypeError, ValueError):
        _refuse(f"Spacing must be one positive length in mm, or three (i, j, k), got {shown(spacing)}.")


def _model(model: str) -> str:
    chosen = os.fspath(model)
    if find_entry(chosen) is None:
        chosen = os.path.abspath(os.path.expanduser(chosen))  # the worker has another working directory
        if not os.path.isfile(chosen):
            msg = f"There is no weights file {chosen}; choose an existing file, or a bundled model."
            raise CheckpointError(msg)
    return chosen


def _kindOf(node: Any) -> str:
    return f"a {node.GetNodeTagName()} node" if hasattr(node, "GetNodeTagName") else f"a Python {type(node).__name__}"


def _refuse(message: str) -> NoReturn:
    raise InputError(message)
