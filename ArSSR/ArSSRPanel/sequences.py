"""Sequences: the frames of an input, and the sequence of the upsampled frames.

A sequence browser shows one frame of each of its sequences in a volume node, the proxy. The result is a separate
sequence, which the same browser shows in synchrony with the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer
import slicer.util

from ArSSRLib.errors import InputError


def isSequence(node: Any) -> bool:
    """Return whether a node is a sequence of any type."""
    return hasattr(node, "IsA") and bool(node.IsA("vtkMRMLSequenceNode"))


def browserOf(node: Any) -> slicer.vtkMRMLSequenceBrowserNode | None:
    """Return the browser of a sequence, or of the sequence of a proxy; None if there is none."""
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
    """Return the sequence of a proxy, the node itself if it is a sequence, or None."""
    if isSequence(node):
        return node
    browser = browserOf(node)
    return browser.GetSequenceNode(node) if browser else None


def shownFrameOf(node: Any) -> slicer.vtkMRMLNode | None:
    """Return the frame that a proxy shows; None for other nodes."""
    browser = browserOf(node)
    if browser is None or isSequence(node) or browser.GetSelectedItemNumber() < 0:
        return None
    index = browser.GetMasterSequenceNode().GetNthIndexValue(browser.GetSelectedItemNumber())
    return browser.GetSequenceNode(node).GetDataNodeAtValue(index, False)


def numberOfFrames(node: slicer.vtkMRMLNode | None) -> int:
    """Return the number of frames of a sequence or of the sequence of a proxy; 0 for other nodes."""
    sequence = sequenceOf(node)
    return sequence.GetNumberOfDataNodes() if sequence else 0


def framesOf(node: Any) -> list[slicer.vtkMRMLNode]:
    """Return the nodes of all frames of a sequence or of the sequence of a proxy.

    Raises:
        InputError: If there is no sequence, or it is empty.
    """
    sequence = sequenceOf(node)
    if sequence is None:
        name = node.GetName() if hasattr(node, "GetName") else node
        msg = f'"{name}" is not a frame of a sequence; deselect "all frames", or choose the volume of a sequence.'
        raise InputError(msg)
    frames = [sequence.GetNthDataNode(index) for index in range(sequence.GetNumberOfDataNodes())]
    if not frames or None in frames:
        msg = f'The sequence "{sequence.GetName()}" has no frames; load it again or choose another one.'
        raise InputError(msg)
    return frames


def placeOf(node: slicer.vtkMRMLNode) -> slicer.vtkMRMLNode:
    """Return the volume that has the parent transform of a sequence: its proxy, or a frame if there is none."""
    if not isSequence(node):
        return node
    browser = browserOf(node)
    return (browser.GetProxyNode(node) if browser else None) or node.GetNthDataNode(0)


def fillSequence(
    source: slicer.vtkMRMLSequenceNode,
    target: slicer.vtkMRMLSequenceNode,
    frames: Sequence[slicer.vtkMRMLScalarVolumeNode],
) -> None:
    """Replace ``target`` by a sequence with the index of ``source``: its name, unit, type and values.

    There is one frame per frame of the source, in order; their voxels are shared, not copied.
    """
    with slicer.util.NodeModify(target):
        target.RemoveAllDataNodes()
        target.SetIndexName(source.GetIndexName())
        target.SetIndexUnit(source.GetIndexUnit())
        target.SetIndexType(source.GetIndexType())
        target.SetNumericIndexValueTolerance(source.GetNumericIndexValueTolerance())
        for index, frame in enumerate(frames):
            # A sequence copies nodes that are added: an empty node avoids copying the voxels, which are set afterwards.
            empty = slicer.vtkMRMLScalarVolumeNode()
            placed = target.SetDataNodeAtValue(empty, source.GetNthIndexValue(index))
            placed.CopyContent(frame, False)
            placed.SetName(frame.GetName())
            placed.SetAttribute("Sequences.BaseName", frame.GetName())


def browseTogether(
    source: slicer.vtkMRMLSequenceNode,
    target: slicer.vtkMRMLSequenceNode,
    proxy: slicer.vtkMRMLScalarVolumeNode,
    browser: slicer.vtkMRMLSequenceBrowserNode,
) -> None:
    """Add ``target`` to the browser of ``source``, with the volume ``proxy`` and the same settings."""
    with slicer.util.NodeModify(browser):  # before its logic creates another proxy
        browser.AddSynchronizedSequenceNodeID(target.GetID())
        browser.AddProxyNode(proxy, target, False)
        browser.SetPlayback(target, browser.GetPlayback(source))
        browser.SetOverwriteProxyName(target, browser.GetOverwriteProxyName(source))
        browser.SetSaveChanges(target, browser.GetSaveChanges(source))
        browser.SetMissingItemMode(target, browser.GetMissingItemMode(source))
