"""The options of an upsampling, each declared once.

The flags of ``arssr upsample``, the keys of the worker's job file and of a result's record, and the arguments of the
Slicer module's logic are all derived from the fields of `UpsamplingOptions`. To add an option, add a field here, and
read it from the options of the plan where it takes effect.

Values are strings, numbers, booleans or None, so that they can be stored as JSON. Only the standard library is needed.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ArSSRLib.errors import InputError, shown

QUALITIES = ("draft", "standard", "best")
# Special slice thicknesses: point samples; what the file states, without an estimate; or unknown.
POINT_SAMPLES, AS_FILED, UNKNOWN_THICKNESS = "points", "file", "unknown"


def _option(default: object, help_text: str, *, choices: tuple[str, ...] = (), unit: str = "") -> Any:  # noqa: ANN401
    """Declare a field: its default, its command-line help, its choices, and the unit of a number."""
    return dataclasses.field(default=default, metadata={"help": help_text, "choices": choices, "unit": unit})


@dataclass(frozen=True, kw_only=True)
class UpsamplingOptions:
    """The options of an upsampling besides its volume, model and scale.

    Attributes:
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        backend: "torch"; on the CPU "openvino", which encodes with that optional package; on a CUDA GPU "fused", with
            kernels that are compared with PyTorch on the first tile.
        precision: "auto", "fp32", "bf16", "fp16", or with OpenVINO "int8".
        slice_thickness: In mm, "3" for the thickest axis, or "1x1x3" along i, j, k; "points" means point samples,
            without averaging; "file" uses only what the file states, and "unknown" ignores the file, too. None uses
            what the file states, and estimates the rest from the volume.
        memory_limit: Memory limit of the process on the device, in GB (1e9 bytes); None uses a part of the free memory.
        quality: "draft", "standard" or "best". It selects the bundled model if none is named; "best" also averages the
            results for the eight mirror images of the volume.
        consistency: "auto" makes the result agree with the scan if the slice profile is known; "off" never does.
        even_slices: "auto" removes brightness differences between the slices of a two-dimensional acquisition; "off"
            never does.
        uncertainty: Whether to keep the standard deviation over the mirror images; needs quality "best".

    Raises:
        InputError: If a value is not allowed.
    """

    device: str = _option("auto", "device to compute on: auto, cpu, cuda, cuda:N or mps")
    backend: str = _option(
        "torch",
        "torch: PyTorch; openvino: run the encoder with OpenVINO, CPU only; fused: kernels for CUDA GPUs, experimental",
        choices=("torch", "openvino", "fused"),
    )
    precision: str = _option(
        "auto",
        "number format of the computation; int8 needs --backend openvino",
        choices=("auto", "fp32", "bf16", "fp16", "int8"),
    )
    slice_thickness: str | None = _option(
        None,
        "slice thickness in mm of the thickest axis, or three along i, j, k; points: every voxel is a point "
        "sample, for volumes that are smooth by nature; file: only what the file states; unknown: ignore the file, too "
        "(default: what the file states, otherwise an estimate from the volume)",
        unit="MM",
    )
    memory_limit: float | None = _option(None, "memory limit in GB (default: a part of the free memory)", unit="GB")
    quality: str = _option(
        "standard",
        "draft: the fastest model; best: the mean over eight mirror images of the volume, which takes about 8 times "
        "as long",
        choices=QUALITIES,
    )
    consistency: str = _option(
        "auto",
        "auto: correct the result to agree with the scan where the slice profile is known; off: never",
        choices=("auto", "off"),
    )
    even_slices: str = _option(
        "auto",
        "auto: even out brightness differences between slices acquired one by one; off: never",
        choices=("auto", "off"),
    )
    uncertainty: bool = _option(False, "standard deviation over the mirror images; needs quality best")

    def __post_init__(self) -> None:
        """Refuse values that are not allowed."""
        special = (POINT_SAMPLES, AS_FILED, UNKNOWN_THICKNESS)
        if isinstance(self.slice_thickness, str) and self.slice_thickness not in special:
            parse_thickness(self.slice_thickness)
        for option in OPTIONS:
            value = getattr(self, option.name)
            if not option.allows(value):
                msg = f"{option.name}: expected {option.expected}, got {shown(value)}."
                raise InputError(msg)
        if self.uncertainty and self.quality != "best":
            msg = (
                f"The uncertainty is the spread of several predictions, but quality {self.quality} makes only one; "
                "choose quality best."
            )
            raise InputError(msg)

    @property
    def mirrored(self) -> bool:
        """Whether the results for all mirror images of the volume are averaged."""
        return self.quality == "best"

    def as_table(self) -> dict[str, Any]:
        """Return the options by name, as values for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> UpsamplingOptions:
        """Return the options among the keys of a table, which must have all options; other keys are ignored."""
        return cls(**{option.name: table[option.name] for option in OPTIONS})


def parse_thickness(text: str) -> tuple[float, ...]:
    """Return the one or three lengths in mm in a text.

    Raises:
        InputError: If there is not one positive number or three.
    """
    try:
        values = tuple(float(part) for part in text.lower().replace("x", ",").split(","))
    except ValueError:
        values = ()
    if len(values) not in (1, 3) or not all(math.isfinite(value) and value > 0 for value in values):
        msg = (
            'The slice thickness must be a positive length in mm, such as "3", three along i, j, k, such as "1x1x3", '
            f'"{POINT_SAMPLES}", "{AS_FILED}" or "{UNKNOWN_THICKNESS}"; got "{text[:80]}".'
        )
        raise InputError(msg)
    return values


@dataclass(frozen=True)
class Option:
    """One field of `UpsamplingOptions`.

    Attributes:
        name: Name of the field; with dashes instead of underscores, it is the command-line flag.
        kind: str, bool or float.
        optional: Whether the value may be None.
        default: The default value.
        help: Help on the command line.
        choices: The allowed values; empty if there are too many to list.
        unit: Unit of a number.
    """

    name: str
    kind: type
    optional: bool
    default: object
    help: str
    choices: tuple[str, ...]
    unit: str

    @property
    def expected(self) -> str:
        """The allowed values as text."""
        *others, last = self.choices or ("a text that is not empty",)
        kinds = {str: f"{', '.join(others)} or {last}" if others else last, bool: "true or false"}
        words = kinds.get(self.kind, f"a positive number of {self.unit}")
        return f"{words}, or none to leave it open" if self.optional else words

    def allows(self, value: object) -> bool:
        """Return whether a value is allowed."""
        if value is None:
            return self.optional
        if self.kind is bool or isinstance(value, bool):
            return self.kind is bool and isinstance(value, bool)
        if self.kind is str:
            return isinstance(value, str) and bool(value) and (not self.choices or value in self.choices)
        return isinstance(value, int | float) and 0 < value < math.inf


def _declared() -> tuple[Option, ...]:
    hints = typing.get_type_hints(UpsamplingOptions)
    found = []
    for field in dataclasses.fields(UpsamplingOptions):
        hint = hints[field.name]
        kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        found.append(Option(field.name, kinds[0], type(None) in kinds, field.default, **field.metadata))
    return tuple(found)


OPTIONS = _declared()
DEFAULT_OPTIONS = UpsamplingOptions()
