"""The provenance of a result on its node: attributes saved with the scene, and a reference to the input."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any

import slicer

INPUT_ROLE = "ArSSR.Input"
# Node attributes and the corresponding entries of the last message of the worker.
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
    """Write the provenance of a result, from the last message of the worker, to its node.

    The source is referenced, not changed; None for a frame, because references do not reach into sequences. Scale is
    written as three factors along i, j, k, the region, if any, as first and stop voxel along each.
    """
    for attribute, entry in _ATTRIBUTES.items():
        value = done.get(entry)
        if value is None:
            node.RemoveAttribute(attribute)
        else:
            node.SetAttribute(attribute, _text(value))
    results = done.get("results") or []
    if source is not None and len(results) == 1:
        # Versions, threads, tiles and checksums of the voxels, as needed for `arssr reproduce`.
        node.SetAttribute("ArSSR.Record", json.dumps(results[0].get("record")))
    node.SetAttribute("ArSSR.Date", datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"))
    if source is not None:
        linkInput(node, source)


def writeRecord(node: slicer.vtkMRMLNode, record: Mapping[str, Any]) -> None:
    """Write the record of a result that was loaded from a file to its node; a record has no date."""
    for attribute, entry in _ATTRIBUTES.items():
        value = record.get("model_sha256" if entry == "sha256" else entry)
        if value is not None:
            node.SetAttribute(attribute, _text(value))
    node.SetAttribute("ArSSR.Record", json.dumps(record))


def linkInput(node: slicer.vtkMRMLNode, source: slicer.vtkMRMLNode) -> None:
    """Reference the source volume of a result, which is not changed."""
    node.SetNodeReferenceID(INPUT_ROLE, source.GetID())


def isResult(node: slicer.vtkMRMLNode) -> bool:
    """Return whether a node was created by ArSSR."""
    return node.GetAttribute("ArSSR.Model") is not None


def sourceOf(node: slicer.vtkMRMLNode) -> slicer.vtkMRMLNode | None:
    """Return the source node of a result, or None if it is not a result or its source is no longer in the scene."""
    return node.GetNodeReference(INPUT_ROLE) if isResult(node) else None


def factsOf(node: slicer.vtkMRMLNode) -> dict[str, Any]:
    """Return the provenance of a result: model, sha256, scale (three factors along i, j, k) and device."""
    scale = tuple(float(factor) for factor in node.GetAttribute("ArSSR.Scale").split())
    facts = {
        _ATTRIBUTES[name]: node.GetAttribute(name) for name in ("ArSSR.Model", "ArSSR.ModelSHA256", "ArSSR.Device")
    }
    return {**facts, "scale": scale}


def disagreementOf(node: slicer.vtkMRMLNode) -> float | None:
    """Return the difference between the averaged result and its scan, in percent of the intensity range.

    None if the result was not made to agree.
    """
    record = json.loads(node.GetAttribute("ArSSR.Record") or "null") or {}
    return record.get("disagreement")


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(_text(item) for item in value)
    return f"{value:.17g}" if isinstance(value, float) else str(value)
