"""The output of a finished run in the scene: a volume beside its input, or a synchronized sequence.

A node is only added to the scene when it is complete, and removed if a later step fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import slicer
import slicer.util

from ArSSRLib.volume import Volume
from ArSSRPanel import sequences
from ArSSRPanel.attributes import writeAttributes
from ArSSRPanel.nodes import copyAppearance, geometryOf, outputName, placeBeside, updateNodeFromVolume
from ArSSRPanel.request import Request

# Node reference from a result to the volume of its uncertainty.
UNCERTAINTY_ROLE = "ArSSR.Uncertainty"
# Percentile of the uncertainty that is shown in the brightest color.
_BRIGHTEST = 99.5


def showVolume(request: Request, volume: Volume, done: Mapping[str, Any]) -> slicer.vtkMRMLScalarVolumeNode:
    """Store a result with its provenance in the selected output node, or in a new one, and return the node."""
    source = request.inputVolume
    # The input may have been moved during the run, for example by hardening its transform; so is the result.
    place = geometryOf(source)
    if place.size == request.inputGeometry.size:
        volume = replace(volume, geometry=request.outputGeometryOf(place))
    output = request.outputVolume or _newVolume(source, outputName(source, request.scale))
    updateNodeFromVolume(output, volume)
    writeAttributes(output, source, done)
    _addBeside(source, output)
    return output


def showUncertainty(result: slicer.vtkMRMLScalarVolumeNode, volume: Volume) -> slicer.vtkMRMLScalarVolumeNode:
    """Add the uncertainty of a result, in the same units, beside it, with a color map, and return its node."""
    node = slicer.vtkMRMLScalarVolumeNode()
    updateNodeFromVolume(node, replace(volume, geometry=geometryOf(result)))
    result.GetScene().AddNode(node)
    colorUncertainty(node)
    linkUncertainty(result, node)
    return node


def colorUncertainty(node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Show a standard deviation with a color map, whose brightest color nearly all voxels stay below."""
    scene, display = node.GetScene(), node.GetDisplayNode()
    if display is None:
        display = scene.AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
    colors = scene.GetFirstNodeByName("Inferno") or scene.GetNodeByID("vtkMRMLColorTableNodeRainbow")
    display.SetAndObserveColorNodeID(colors.GetID() if colors else "vtkMRMLColorTableNodeGrey")
    display.SetAutoWindowLevel(False)
    highest = float(np.percentile(slicer.util.arrayFromVolume(node), _BRIGHTEST))
    display.SetWindowLevel(highest or 1.0, (highest or 1.0) / 2)
    node.SetAndObserveDisplayNodeID(display.GetID())


def linkUncertainty(result: slicer.vtkMRMLScalarVolumeNode, node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Reference a volume as the uncertainty of a result; name it and place it accordingly."""
    node.SetName(result.GetScene().GenerateUniqueName(f"{result.GetName()} uncertainty"))
    node.SetVoxelValueQuantity(result.GetVoxelValueQuantity())
    node.SetVoxelValueUnits(result.GetVoxelValueUnits())
    result.SetNodeReferenceID(UNCERTAINTY_ROLE, node.GetID())
    placeBeside(result, node)


def showSequence(request: Request, volumes: Iterable[Volume], done: Mapping[str, Any]) -> slicer.vtkMRMLNode:
    """Store the results for all frames in a sequence; return the volume that shows it, or the sequence if none does."""
    source = sequences.sequenceOf(request.inputVolume)
    browser = sequences.browserOf(request.inputVolume)
    proxy = browser.GetProxyNode(source) if browser else None
    target = sequences.sequenceOf(request.outputVolume)
    scene, isNew = source.GetScene(), target is None
    if isNew:
        target = slicer.vtkMRMLSequenceNode()
        # The name without a suffix is used for the volume that shows the frames.
        target.SetName(scene.GenerateUniqueName(f"{outputName(source, request.scale)} sequence"))

    frames = []
    for frame, volume in zip(sequences.framesOf(source), volumes, strict=True):
        frames.append(slicer.vtkMRMLScalarVolumeNode())
        frames[-1].SetName(outputName(frame, request.scale))
        updateNodeFromVolume(frames[-1], volume)
        writeAttributes(frames[-1], None, done)
    sequences.fillSequence(source, target, frames)
    writeAttributes(target, source, done)
    if isNew:
        scene.AddNode(target)
    try:
        placeBeside(source, target)
        return target if proxy is None else _showFrames(request, target, done, proxy=proxy, browser=browser)
    except BaseException:
        if isNew:
            scene.RemoveNode(target)
        raise


def _showFrames(
    request: Request,
    target: slicer.vtkMRMLSequenceNode,
    done: Mapping[str, Any],
    *,
    proxy: slicer.vtkMRMLScalarVolumeNode,
    browser: slicer.vtkMRMLSequenceBrowserNode,
) -> slicer.vtkMRMLScalarVolumeNode:
    """Show a sequence of results in a volume beside the one that shows the input, and return that volume."""
    chosen = None if sequences.isSequence(request.outputVolume) else request.outputVolume
    output = browser.GetProxyNode(target) or chosen or _newVolume(proxy, outputName(proxy, request.scale))
    selected = max(browser.GetSelectedItemNumber(), 0)  # -1 if nothing was selected yet
    shown = target.GetDataNodeAtValue(browser.GetMasterSequenceNode().GetNthIndexValue(selected), False)
    output.CopyContent(shown or target.GetNthDataNode(0), False)
    writeAttributes(output, proxy, done)
    _addBeside(proxy, output)
    sequences.browseTogether(sequences.sequenceOf(request.inputVolume), target, output, browser)
    return output


def _newVolume(source: slicer.vtkMRMLNode, name: str) -> slicer.vtkMRMLScalarVolumeNode:
    """Return a volume node that is not in the scene yet, with a unique name."""
    node = slicer.vtkMRMLScalarVolumeNode()
    node.SetName(source.GetScene().GenerateUniqueName(name))
    return node


def _addBeside(source: slicer.vtkMRMLScalarVolumeNode, output: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Add a volume to the scene of ``source``, if necessary, with its display and its position in the hierarchy."""
    scene, isNew = source.GetScene(), output.GetScene() is None
    if isNew:
        scene.AddNode(output)
    try:
        copyAppearance(source, output)
        placeBeside(source, output)
    except BaseException:
        if isNew:
            display = output.GetDisplayNode()
            scene.RemoveNode(output)
            if display is not None:
                scene.RemoveNode(display)
        raise
