"""What a finished run leaves in the scene: a volume beside its input, or a sequence browsed in step with it.

A node enters the scene only when it is complete, and leaves it again if anything fails until it is.
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

# From a result to the volume of its uncertainty.
UNCERTAINTY_ROLE = "ArSSR.Uncertainty"
# Percentile of the uncertainty that gets the brightest color.
_BRIGHTEST = 99.5


def showVolume(request: Request, volume: Volume, done: Mapping[str, Any]) -> slicer.vtkMRMLScalarVolumeNode:
    """Put a result into the chosen output node, or a new one, and return it.

    Args:
        request: What was asked for.
        volume: The result.
        done: The worker's last message, for the provenance.
    """
    source = request.inputVolume
    # The input may have been moved during the run, for example by hardening its transform: the result moves with it.
    place = geometryOf(source)
    if place.size == request.inputGeometry.size:
        volume = replace(volume, geometry=request.outputGeometryOf(place))
    return _show(source, volume, done, output=request.outputVolume, name=outputName(source, request.scale))


def showUncertainty(result: slicer.vtkMRMLScalarVolumeNode, volume: Volume) -> slicer.vtkMRMLScalarVolumeNode:
    """Put the uncertainty of a result beside it, in a color map, and return its node.

    Args:
        result: The result, in the scene.
        volume: The standard deviation of its voxels, in their unit.
    """
    node = slicer.vtkMRMLScalarVolumeNode()
    updateNodeFromVolume(node, replace(volume, geometry=geometryOf(result)))
    result.GetScene().AddNode(node)
    colorUncertainty(node)
    linkUncertainty(result, node)
    return node


def colorUncertainty(node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Show a standard deviation in a color map, whose brightest color nearly all voxels stay below.

    Args:
        node: In the scene, with voxels.
    """
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
    """Make a volume known as the uncertainty of a result, after which it is named and beside which it lies."""
    node.SetName(result.GetScene().GenerateUniqueName(f"{result.GetName()} uncertainty"))
    node.SetVoxelValueQuantity(result.GetVoxelValueQuantity())
    node.SetVoxelValueUnits(result.GetVoxelValueUnits())
    result.SetNodeReferenceID(UNCERTAINTY_ROLE, node.GetID())
    placeBeside(result, node)


def showSequence(request: Request, volumes: Iterable[Volume], done: Mapping[str, Any]) -> slicer.vtkMRMLNode:
    """Put the results of all frames into a sequence; return the volume that shows it, or it where none does.

    Args:
        request: What was asked for.
        volumes: The results, in the order of the frames; taken one at a time.
        done: The worker's last message, for the provenance.
    """
    source = sequences.sequenceOf(request.inputVolume)
    browser = sequences.browserOf(request.inputVolume)
    proxy = browser.GetProxyNode(source) if browser else None
    target = sequences.sequenceOf(request.outputVolume)
    scene, isNew = source.GetScene(), target is None
    if isNew:
        target = slicer.vtkMRMLSequenceNode()
        # The plain name is left to the volume that shows the frames.
        target.SetName(scene.GenerateUniqueName(f"{outputName(source, request.scale)} sequence"))

    def newFrame(frame: slicer.vtkMRMLScalarVolumeNode, volume: Volume) -> slicer.vtkMRMLScalarVolumeNode:
        node = slicer.vtkMRMLScalarVolumeNode()
        node.SetName(outputName(frame, request.scale))
        updateNodeFromVolume(node, volume)
        writeAttributes(node, None, done)
        return node

    frames = [newFrame(frame, volume) for frame, volume in zip(sequences.framesOf(source), volumes, strict=True)]
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
    """Show a sequence of results through a volume beside the one that shows the input, and return it."""
    chosen = None if sequences.isSequence(request.outputVolume) else request.outputVolume
    output = browser.GetProxyNode(target) or chosen
    if output is None:
        output = _newVolume(proxy, outputName(proxy, request.scale))
    selected = max(browser.GetSelectedItemNumber(), 0)  # -1 where nothing was selected yet
    shown = target.GetDataNodeAtValue(browser.GetMasterSequenceNode().GetNthIndexValue(selected), False)
    output.CopyContent(shown or target.GetNthDataNode(0), False)
    writeAttributes(output, proxy, done)
    _addBeside(proxy, output)
    sequences.browseTogether(sequences.sequenceOf(request.inputVolume), target, output, browser)
    return output


def _show(
    source: slicer.vtkMRMLScalarVolumeNode,
    volume: Volume,
    done: Mapping[str, Any],
    *,
    output: slicer.vtkMRMLScalarVolumeNode | None,
    name: str,
) -> slicer.vtkMRMLScalarVolumeNode:
    if output is None:
        output = _newVolume(source, name)
    updateNodeFromVolume(output, volume)
    writeAttributes(output, source, done)
    _addBeside(source, output)
    return output


def _newVolume(source: slicer.vtkMRMLNode, name: str) -> slicer.vtkMRMLScalarVolumeNode:
    """Return a volume node that is not in the scene yet, under a name that is free there."""
    node = slicer.vtkMRMLScalarVolumeNode()
    node.SetName(source.GetScene().GenerateUniqueName(name))
    return node


def _addBeside(source: slicer.vtkMRMLScalarVolumeNode, output: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Bring a volume into the scene of ``source``, if it is not there, and make it look and lie as ``source``."""
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
