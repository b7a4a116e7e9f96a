"""Where a result comes from, written on its node: attributes that are saved with the scene, and a link to the input."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any

import slicer

INPUT_ROLE = "ArSSR.Input"
# Attribute of a node: entry of the worker's last message.
_ATTRIBUTES = {
    "ArSSR.Model": "model",
    "ArSSR.ModelSHA256": "sha256",
    "ArSSR.Scale": "scale",
    "ArSSR.Region": "region",
    "ArSSR.Device": "device",
    "ArSSR.Precision": "precision",
    "ArSSR.Version": "version",
}


def writeAttributes(node: slicer.vtkMRMLNode, source: slicer.vtkMRMLNode | None, done: Mapping[str, Any]) -> None:
    """Write on a result what it was made of and how.

    Args:
        node: The result.
        source: The input; it is linked, not changed. None for a frame, which a link does not reach in its sequence.
        done: The worker's last message. Scale is written as three factors along i, j, k, the region as first and stop
            voxel along each; without a region there is no such attribute.
    """
    for attribute, entry in _ATTRIBUTES.items():
        value = done.get(entry)
        if value is None:
            node.RemoveAttribute(attribute)
        else:
            node.SetAttribute(attribute, _text(value))
    results = done.get("results") or []
    if source is not None and len(results) == 1:
        # Versions, threads, tiles and checksums of the voxels: what `arssr reproduce` would need.
        node.SetAttribute("ArSSR.Record", json.dumps(results[0].get("record")))
    node.SetAttribute("ArSSR.Date", datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"))
    if source is not None:
        linkInput(node, source)


def writeRecord(node: slicer.vtkMRMLNode, record: Mapping[str, Any]) -> None:
    """Write on a result that was loaded from a file what its record says; the record knows no date."""
    for attribute, entry in _ATTRIBUTES.items():
        value = record.get("model_sha256" if entry == "sha256" else entry)
        if value is not None:
            node.SetAttribute(attribute, _text(value))
    node.SetAttribute("ArSSR.Record", json.dumps(record))


def linkInput(node: slicer.vtkMRMLNode, source: slicer.vtkMRMLNode) -> None:
    """Link a result to the volume that it was made from, which is not changed."""
    node.SetNodeReferenceID(INPUT_ROLE, source.GetID())


def isResult(node: slicer.vtkMRMLNode) -> bool:
    """Tell whether a node was made here."""
    return node.GetAttribute("ArSSR.Model") is not None


def sourceOf(node: slicer.vtkMRMLNode) -> slicer.vtkMRMLNode | None:
    """Return the node that a result was made from, or None if it is not a result or its source has left the scene."""
    return node.GetNodeReference(INPUT_ROLE) if isResult(node) else None


def factsOf(node: slicer.vtkMRMLNode) -> dict[str, Any]:
    """Return what is written on a result: model, sha256, scale (three factors along i, j, k) and device."""
    scale = tuple(float(factor) for factor in node.GetAttribute("ArSSR.Scale").split())
    facts = {
        _ATTRIBUTES[name]: node.GetAttribute(name) for name in ("ArSSR.Model", "ArSSR.ModelSHA256", "ArSSR.Device")
    }
    return {**facts, "scale": scale}


def disagreementOf(node: slicer.vtkMRMLNode) -> float | None:
    """Return by how much a result, averaged back, differs from its scan, in percent of the intensity range.

    None where it was not made to agree.
    """
    record = json.loads(node.GetAttribute("ArSSR.Record") or "null") or {}
    return record.get("disagreement")


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(_text(item) for item in value)
    return f"{value:.17g}" if isinstance(value, float) else str(value)
