"""Every frame of a sequence at once: where the frames are, and where the upsampled ones go.

A sequence browser shows one frame of each of its sequences through a volume node, the proxy. The result is a sequence
of its own, browsed in step with the input by the same browser.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer

from ArSSRLib.errors import InputError


def isSequence(node: Any) -> bool:
    """Tell whether a node is a sequence, of whatever."""
    return hasattr(node, "IsA") and bool(node.IsA("vtkMRMLSequenceNode"))


def browserOf(node: Any) -> slicer.vtkMRMLSequenceBrowserNode | None:
    """Return the browser that shows a sequence, or the frames of one through a volume; None if there is none."""
    scene = node.GetScene() if hasattr(node, "GetScene") else None
    if scene is None:
        return None
    browsers = scene.GetNodesByClass("vtkMRMLSequenceBrowserNode")
    for index in range(browsers.GetNumberOfItems()):
        browser = browsers.GetItemAsObject(index)
        if isSequence(node) and browser.IsSynchronizedSequenceNode(node, True):
            return browser
        if browser.GetSequenceNode(node) is not None:
            return browser
    return None


def sequenceOf(node: Any) -> Any:
    """Return the sequence whose frames a node shows, the node itself if it is one, or None."""
    if isSequence(node):
        return node
    browser = browserOf(node)
    return browser.GetSequenceNode(node) if browser else None


def numberOfFrames(node: slicer.vtkMRMLNode | None) -> int:
    """Return the number of frames of the sequence that a node is or shows; 0 if it does neither."""
    sequence = sequenceOf(node)
    return sequence.GetNumberOfDataNodes() if sequence else 0


def framesOf(node: Any) -> list[slicer.vtkMRMLNode]:
    """Return the nodes of all frames of the sequence that a node is or shows.

    Raises:
        InputError: If there is no sequence, or it has no frames.
    """
    sequence = sequenceOf(node)
    if sequence is None:
        name = node.GetName() if hasattr(node, "GetName") else node
        msg = f'"{name}" is not a frame of a sequence; leave out "all frames", or choose the volume of a sequence.'
        raise InputError(msg)
    frames = [sequence.GetNthDataNode(index) for index in range(sequence.GetNumberOfDataNodes())]
    if not frames or None in frames:
        msg = f'The sequence "{sequence.GetName()}" has no frames; load it again or choose another one.'
        raise InputError(msg)
    return frames


def placeOf(node: slicer.vtkMRMLNode) -> slicer.vtkMRMLNode:
    """Return the volume that has the transforms of a sequence: its proxy where a browser shows it, else a frame."""
    if not isSequence(node):
        return node
    browser = browserOf(node)
    return (browser.GetProxyNode(node) if browser else None) or node.GetNthDataNode(0)


def fillSequence(
    source: slicer.vtkMRMLSequenceNode,
    target: slicer.vtkMRMLSequenceNode,
    frames: Sequence[slicer.vtkMRMLScalarVolumeNode],
) -> None:
    """Make ``target`` a sequence of frames with the index of ``source``: its name, unit, type and values.

    Args:
        source: The sequence that was upsampled; it is not changed.
        target: What it held before is released.
        frames: One for each of ``source``, in order; their voxels are shared, not copied.
    """
    modifying = target.StartModify()
    try:
        target.RemoveAllDataNodes()
        target.SetIndexName(source.GetIndexName())
        target.SetIndexUnit(source.GetIndexUnit())
        target.SetIndexType(source.GetIndexType())
        target.SetNumericIndexValueTolerance(source.GetNumericIndexValueTolerance())
        for index, frame in enumerate(frames):
            # A sequence copies what it is given: an empty node, which then takes the voxels of the frame.
            empty = slicer.vtkMRMLScalarVolumeNode()
            placed = target.SetDataNodeAtValue(empty, source.GetNthIndexValue(index))
            placed.CopyContent(frame, False)
            placed.SetName(frame.GetName())
            placed.SetAttribute("Sequences.BaseName", frame.GetName())
    finally:
        target.EndModify(modifying)


def browseTogether(
    source: slicer.vtkMRMLSequenceNode,
    target: slicer.vtkMRMLSequenceNode,
    proxy: slicer.vtkMRMLScalarVolumeNode,
    browser: slicer.vtkMRMLSequenceBrowserNode,
) -> None:
    """Let the browser of ``source`` also show ``target``, through ``proxy`` and with the same settings."""
    modifying = browser.StartModify()  # before its logic makes a proxy of its own
    try:
        browser.AddSynchronizedSequenceNodeID(target.GetID())
        browser.AddProxyNode(proxy, target, False)
        browser.SetPlayback(target, browser.GetPlayback(source))
        browser.SetOverwriteProxyName(target, browser.GetOverwriteProxyName(source))
        browser.SetSaveChanges(target, browser.GetSaveChanges(source))
        browser.SetMissingItemMode(target, browser.GetMissingItemMode(source))
    finally:
        browser.EndModify(modifying)
