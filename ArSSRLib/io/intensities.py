"""Statements of a DICOM header about voxel values: padding, parts of complex images, and mosaics."""

from __future__ import annotations

from collections.abc import Collection

from pydicom import Dataset

from ArSSRLib.complex_parts import component_by_type

# GE uses a number instead of an image type.
_GE_KINDS = {"1": "phase", "2": "real", "3": "imaginary"}
# Place of the attributes of GE: the first of the blocks that programs use, or a later one.
_GE_CREATORS = {0x00430000 + block: 0x0043002F + (block << 8) for block in range(0x10, 0x18)}
_UIH_SLICES, _UIH_FRAMES = 0x00651050, 0x00651051
# Private attributes of manufacturers that are used here.
PRIVATE_TAGS = (*_GE_CREATORS, *_GE_CREATORS.values(), _UIH_SLICES, _UIH_FRAMES)


def padding_of(dataset: Dataset, rescales: Collection[tuple[float, float]]) -> tuple[float, float] | None:
    """Return the smallest and the largest intensity that a header declares as padding, or None.

    ``rescales`` are slopes and intercepts of the slices, from stored values to intensities.
    """
    first = dataset.get("PixelPaddingValue")
    if not isinstance(first, int):
        return None
    last = dataset.get("PixelPaddingRangeLimit")
    stored = [_as_stored(number, dataset) for number in (first, last if isinstance(last, int) else first)]
    # Half a step on both sides, because intensities may be rounded.
    margin = max(0.0 if rescale == (1.0, 0.0) else abs(rescale[0]) / 2 for rescale in rescales)
    ends = [number * slope + intercept for number in stored for slope, intercept in rescales]
    return (min(ends) - margin, max(ends) + margin)


def _as_stored(number: int, dataset: Dataset) -> int:
    """Return a number in the type of the voxels, because some programs write a negative padding without its sign."""
    bits = int(dataset.get("BitsAllocated") or 16)
    unsigned = number % (1 << bits)
    return unsigned - (1 << bits) if dataset.get("PixelRepresentation") and unsigned >> (bits - 1) else unsigned


def components_of(dataset: Dataset) -> set[str]:
    """Return the parts of a complex image in a file, as far as its header states them.

    They are "phase", "real" and "imaginary"; an empty string stands for magnitude.
    """
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or [Dataset()]
    common = _stated_types(dataset) + _stated_types(_frame_type(shared))
    # What a frame states prevails: the file may be a mixture.
    found = {component_by_type(_stated_types(_frame_type(frame)) or common) for frame in frames}
    kind = next((k for creator, k in _GE_CREATORS.items() if _private(dataset, creator).startswith("GEMS_PARM")), 0)
    return found if any(found) or not kind else {_GE_KINDS.get(_private(dataset, kind).strip(), "")}


def _frame_type(group: Dataset) -> Dataset:
    found: Dataset = (group.get("MRImageFrameTypeSequence") or [Dataset()])[0]
    return found


def _stated_types(dataset: Dataset) -> list[str]:
    """Return the words about the part of a complex image in a header, or in the type of a frame."""
    # The first two values describe the image as a file: original or derived, primary or secondary.
    types = [word for name in ("ImageType", "FrameType") for word in image_types(dataset, name)[2:]]
    return [str(word) for word in (*types, dataset.get("ComplexImageComponent") or "") if word]


def image_types(dataset: Dataset, name: str = "ImageType") -> list[str]:
    """Return the values of an attribute of several words; some programs write only one, which is not a list."""
    value = dataset.get(name) or ()
    return [str(word) for word in ((value,) if isinstance(value, str) else value)]


def is_mosaic(dataset: Dataset) -> bool:
    """Return whether a header describes a mosaic of slices in one image, as stored by Siemens and United Imaging."""
    kinds = {word.upper() for word in image_types(dataset)}
    united = str(dataset.get("Manufacturer") or "").upper().startswith(("UIH", "UNITED IMAGING"))
    many = _private(dataset, _UIH_SLICES) not in ("", "0", "1") or _UIH_FRAMES in dataset
    return bool(kinds & {"MOSAIC", "VFRAME"}) or (united and many)


def _private(dataset: Dataset, tag: int) -> str:
    """Return a private value as text; in a file without explicit types, it is bytes."""
    if tag not in dataset:
        return ""
    value = dataset[tag].value
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace").strip("\0 ")
    return str(value)
