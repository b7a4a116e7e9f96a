"""Protocol: every value that decides what an evaluation computes and shows, and which values are impossible.

Reading one from a TOML file lives here, too; shipped ones lie in ``protocols``.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ArSSRLib.errors import InputError
from ArSSRLib.evaluation.degradation import DEGRADATIONS
from ArSSRLib.evaluation.protocol_methods import Method, check_method, entries_of, methods_from, require
from ArSSRLib.evaluation.scoring import METRICS
from ArSSRLib.geometry import parse_scale, scale_label
from ArSSRLib.io.sources import SPLITS
from ArSSRLib.settings import converted, dataclass_from, read_settings, refuse_unknown

Scale = tuple[float, float, float]

PROTOCOLS = Path(__file__).with_name("protocols")
CROPS = ("none", "mask")
LESIONS = ("", "synthetic")


@dataclass(frozen=True)
class Published:
    """Numbers of a paper, for a column of their own, marked not comparable.

    Attributes:
        method: Name of the method in this protocol that they belong to.
        metric: Which metric.
        scales: Factors for all axes, unitless.
        values: One number a scale.
    """

    method: str
    metric: str
    scales: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Protocol:
    """One evaluation.

    Attributes:
        title: Head of the report.
        output: Folder for finished cells, tables and figures.
        methods: What is compared, one ``[[methods]]`` table each: see `Method`.
        subjects: Volumes taken for the truth: a folder, or a CSV file with the columns path, split and, if wanted,
            subject and lesions. "" for none: then only ``real`` is evaluated.
        split: Which rows of a CSV file: "train", "val" or "test".
        subject_limit: How many subjects at most, in the order of their names; 0 for all.
        scales: Each one factor, or three along i, j, k.
        degradations: How the acquisition is simulated, see `degradation`: "point", "gaussian", "box", "endpoints".
        spacing: Isotropic spacing in mm to which a truth is resampled first, without aliasing; 0 keeps its grid.
        crop: "mask": the truth is cropped to the bounding box of its mask and ``crop_margin``; "none": it is not.
        crop_margin: Voxels kept around that box, where there are as many.
        crop_size: Voxels along i, j, k of a box about the middle of what is left, to which it is cropped next, never
            padded; [] leaves it.
        metrics: By name, see `scoring`.
        mask: Whether PSNR and SSIM are told inside the mask of `ArSSRLib.metrics.brain_mask`, too.
        lesions: "synthetic": small dark ellipsoids are put into every truth, see `synthetic_lesions`; "": the masks are
            taken that the column lesions of the CSV file names, each on the grid of its volume, where there are some.
        reference: Name of the method that the others' differences are taken to; "" for the first.
        real: Thick-slice volumes without a truth, made isotropic by every method that can: a folder, or a CSV file.
            "" for none.
        real_profile: Slice profile assumed for them by back-projection and by the consistency.
        precision: "fp32", or "auto", "bf16", "fp16": in which networks compute.
        figure_subjects: For how many subjects pictures are drawn.
        data: A sentence on the data for the report.
        published: Numbers of a paper, one ``[[published]]`` table for each method and metric: see `Published`.

    Raises:
        InputError: If a value is impossible, before anything is read.
    """

    title: str
    output: Path
    methods: tuple[Method, ...]
    subjects: Path | None = None
    split: str = "test"
    subject_limit: int = 0
    scales: tuple[Scale, ...] = ()
    degradations: tuple[str, ...] = ("gaussian",)
    spacing: float = 0.0
    crop: str = "mask"
    crop_margin: int = 8
    crop_size: tuple[int, ...] = ()
    metrics: tuple[str, ...] = ("psnr", "ssim")
    mask: bool = True
    lesions: str = ""
    reference: str = ""
    real: Path | None = None
    real_profile: str = "gaussian"
    precision: str = "fp32"
    figure_subjects: int = 1
    data: str = ""
    published: tuple[Published, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be evaluated, before anything is read."""
        _check_methods(self)
        _check_choices(self)
        _check_numbers(self)

    @property
    def reference_name(self) -> str:
        """The method that differences are taken to."""
        return self.reference or self.methods[0].name


def read_protocol(path: Path, overrides: Sequence[str] = ()) -> Protocol:
    """Read a TOML protocol; the name of a shipped one is enough.

    Args:
        path: The file, or a name such as "table1"; relative folders in it are relative to the working directory.
        overrides: ``key=value`` pairs, each value in TOML.

    Raises:
        InputError: If the file cannot be read, or a key is unknown, missing, of another type or impossible.
    """
    shipped = PROTOCOLS / f"{path.name.removesuffix('.toml')}.toml"
    file = shipped if not path.exists() and path.parent == Path() and shipped.exists() else path
    table = read_settings(file, overrides, kind="protocol", example=f"ArSSRLib/evaluation/{PROTOCOLS.name}")
    hints = typing.get_type_hints(Protocol)
    refuse_unknown(table, hints, origin=str(path))
    required = [f.name for f in dataclasses.fields(Protocol) if f.default is dataclasses.MISSING]
    missing = [name for name in required if name not in table]
    if missing:
        msg = f"{path} lacks {', '.join(missing)}; add it to the protocol, or say --set {missing[0]}=..."
        raise InputError(msg)
    special: dict[str, Any] = {
        "methods": methods_from,
        "published": _published,
        "scales": _scales,
    }
    values: dict[str, Any] = {
        name: special[name](value) if name in special else converted(name, value, hints[name], kind="protocol")
        for name, value in table.items()
    }
    protocol = Protocol(**values)
    # Here and not in the dataclass: methods that cannot run are left out of it later, their printed numbers are not.
    names = [method.name for method in protocol.methods]
    for row in protocol.published:
        require("method of published", row.method, row.method in names, f"one of {', '.join(names)}")
    return protocol


def _published(value: object) -> tuple[Published, ...]:
    return tuple(
        dataclass_from(Published, table, kind="protocol", origin=f"The table {number} of published", complete=False)
        for number, table in enumerate(entries_of(value, "published"), start=1)
    )


def _scales(value: object) -> tuple[Scale, ...]:
    if not isinstance(value, list):
        msg = f"The protocol's scales = {value!r} should be a list of factors, each one number or three."
        raise InputError(msg)
    return tuple(parse_scale(scale) for scale in value)


def _check_methods(protocol: Protocol) -> None:
    names = [method.name for method in protocol.methods]
    require("methods", names, 0 < len(names) == len(set(names)), "one or more, each with a name of its own")
    for method in protocol.methods:
        check_method(method)
    known = f"one of {', '.join(names)}"
    require("reference", protocol.reference_name, protocol.reference_name in names, known)
    for row in protocol.published:
        require(f"values of {row.method}", row.values, len(row.values) == len(row.scales), "one number a scale")


def _check_choices(protocol: Protocol) -> None:
    require("split", protocol.split, protocol.split in SPLITS, f"one of {', '.join(SPLITS)}")
    require("crop", protocol.crop, protocol.crop in CROPS, f"one of {', '.join(CROPS)}")
    require("lesions", protocol.lesions, protocol.lesions in LESIONS, 'synthetic, or ""')
    require("precision", protocol.precision, protocol.precision in ("auto", "fp32", "bf16", "fp16"), "fp32 or auto")
    for name, values, known in (
        ("degradations", protocol.degradations, DEGRADATIONS),
        ("real_profile", (protocol.real_profile,), DEGRADATIONS),
        ("metrics", protocol.metrics, METRICS),
    ):
        for value in values:
            require(name, value, value in known, f"of {', '.join(known)}")
        require(name, list(values), bool(values) and len(set(values)) == len(values), "one or more, each once")


def _check_numbers(protocol: Protocol) -> None:
    for name in ("subject_limit", "crop_margin", "figure_subjects"):
        require(name, getattr(protocol, name), getattr(protocol, name) >= 0, "0 or more")
    require("spacing", protocol.spacing, 0 <= protocol.spacing <= 20, "a spacing in mm, or 0")
    size = protocol.crop_size
    require("crop_size", list(size), not size or (len(size) == 3 and min(size) >= 8), "three sizes of 8 or more, or []")
    require("subjects", "", bool(protocol.subjects or protocol.real), "volumes in subjects or in real")
    scaled = all(max(scale) > 1 for scale in protocol.scales) and len(set(protocol.scales)) == len(protocol.scales)
    require("scales", [scale_label(s) for s in protocol.scales], scaled, "factors above 1, each once")
    require("scales", [], bool(protocol.scales or not protocol.subjects), "one or more where there are subjects")
