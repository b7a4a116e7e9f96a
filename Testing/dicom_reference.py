"""The requirements of the standard for MR images, from the tables of highdicom: an independent reading of PS3.3."""

from __future__ import annotations

import functools
import json
from importlib.util import find_spec
from pathlib import Path

from pydicom import Dataset
from pydicom.datadict import keyword_for_tag

MANDATORY, NEEDED, NEEDS_VALUE = "M", ("1", "2"), ("1", "1C")
# Allowed if the source had them, although only later editions or extensions of the standard include them here.
ALLOWED_BESIDES = {"RescaleSlope", "RescaleIntercept", "RescaleType"}


def departures(dataset: Dataset) -> list[str]:
    """Return the deviations of a dataset from the MR image IOD; conditions are not evaluated."""
    known: dict[tuple[str, ...], set[str]] = {}
    wrong = []
    at_the_top = set(dataset.dir())
    for path, keyword, kind, mandatory in _attributes():
        known.setdefault(path, set()).add(keyword)
        if kind == "3" or ((path or not mandatory) and (*path, keyword)[0] not in at_the_top):
            continue
        where = ".".join((*path, keyword))
        for item in _items(dataset, path):
            if kind in NEEDED and keyword not in item:
                wrong.append(f"{where} of type {kind} is missing")
            elif kind in NEEDS_VALUE and keyword in item and item[keyword].is_empty:
                wrong.append(f"{where} of type {kind} is empty")
    return wrong + [f"{'.'.join(where)} is no attribute of an MR image" for where in _unknown(dataset, known, ())]


@functools.cache
def _attributes() -> list[tuple[tuple[str, ...], str, str, bool]]:
    """Return path, keyword, type and whether its module is mandatory, for every attribute that an MR image may have."""
    tables = _table("module_attribute_map")
    return [
        (tuple(attribute["path"]), attribute["keyword"], attribute["type"], module["usage"] == MANDATORY)
        for module in _table("iod_module_map")["mr-image"]
        for attribute in tables[module["key"]]
    ]


def _table(name: str) -> dict:
    """Return a table of highdicom, read without importing it, which would take longer than all these tests."""
    folder = Path(find_spec("highdicom").origin).parent
    return json.loads((folder / "_standard" / f"{name}.json").read_text(encoding="utf-8"))


def _items(dataset: Dataset, path: tuple[str, ...]) -> list[Dataset]:
    if not path:
        return [dataset]
    return [below for item in dataset.get(path[0]) or [] for below in _items(item, path[1:])]


def _unknown(dataset: Dataset, known: dict[tuple[str, ...], set[str]], path: tuple[str, ...]) -> list[tuple[str, ...]]:
    found = []
    for element in dataset:
        keyword = keyword_for_tag(element.tag)
        if keyword in ALLOWED_BESIDES and not path:
            continue
        if keyword not in known.get(path, set()):
            found.append((*path, keyword or str(element.tag)))
        elif element.VR == "SQ":
            found += [where for item in element.value for where in _unknown(item, known, (*path, keyword))]
    return found
