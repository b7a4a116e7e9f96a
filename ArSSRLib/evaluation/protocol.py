"""Protocol: all values that determine the computation and presentation of an evaluation, with their checks.

It is read from a TOML file; bundled protocols are in ``protocols``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ArSSRLib.errors import InputError, shown
from ArSSRLib.evaluation.degradation import DEGRADATIONS
from ArSSRLib.evaluation.protocol_methods import Method, check_method, entries_of, methods_from, require
from ArSSRLib.evaluation.scoring import METRICS
from ArSSRLib.geometry import parse_scale, scale_label
from ArSSRLib.io.sources import SPLITS
from ArSSRLib.settings import dataclass_from, read_settings, values_from

Scale = tuple[float, float, float]

PROTOCOLS = Path(__file__).with_name("protocols")
CROPS = ("none", "mask")
LESIONS = ("", "synthetic")


@dataclass(frozen=True)
class Published:
    """Numbers from a paper, for a separate column that is marked as not comparable.

    Attributes:
        method: Name of the corresponding method in this protocol.
        metric: Name of the metric.
        scales: Scales for all axes together, unitless.
        values: One number per scale.
    """

    method: str
    metric: str
    scales: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Protocol:
    """One evaluation.

    Attributes:
        title: Title of the report.
        output: Folder for finished cells, tables and figures.
        methods: The compared methods, one ``[[methods]]`` table each: see `Method`.
        subjects: Volumes that serve as truth: a folder, or a CSV file with the columns path, split and, optionally,
            subject and lesions. "" for none: then only ``real`` is evaluated.
        split: Selects rows of a CSV file: "train", "val" or "test".
        subject_limit: Largest number of subjects, ordered by name; 0 for all.
        scales: One factor, or three along i, j, k, per scale.
        degradations: Simulated acquisitions, the names in `ArSSRLib.evaluation.degradation.DEGRADATIONS`.
        spacing: Isotropic spacing in mm to which truths are first resampled, without aliasing; 0 keeps their grid.
        crop: "mask" crops a truth to the bounding box of its mask with ``crop_margin``; "none" does not.
        crop_margin: Voxels around that box, as far as available.
        crop_size: Voxels along i, j, k of a central box to which the remainder is then cropped, without padding; [] for
            none.
        metrics: Names of metrics, see `scoring`.
        mask: Whether to compute PSNR and SSIM also inside the mask of `ArSSRLib.metrics.brain_mask`.
        lesions: "synthetic" adds small dark ellipsoids to every truth, see `synthetic_lesions`; "" uses the masks in
            the column lesions of the CSV file, if any, each on the grid of its volume.
        reference: Name of the method with which the others are compared; "" for the first.
        real: Thick-slice volumes without a truth, made isotropic by every applicable method: a folder, or a CSV file.
            "" for none.
        real_profile: Slice profile assumed for real volumes by back-projection and by the consistency metric.
        precision: Precision of the networks: "fp32", "auto", "bf16" or "fp16".
        figure_subjects: Number of subjects with figures.
        data: A sentence on the data for the report.
        published: Numbers from a paper, one ``[[published]]`` table for each method and metric: see `Published`.

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
        """Refuse an impossible protocol before anything is read."""
        _check_methods(self)
        _check_choices(self)
        _check_numbers(self)

    @property
    def reference_name(self) -> str:
        """The method with which the others are compared."""
        return self.reference or self.methods[0].name


def read_protocol(path: Path, overrides: Sequence[str] = ()) -> Protocol:
    """Read a TOML protocol from a file, or a bundled protocol by name, with ``key=value`` overrides in TOML.

    Raises:
        InputError: If the file cannot be read, or a key is unknown, missing, of another type or impossible.
    """
    shipped = PROTOCOLS / f"{path.name.removesuffix('.toml')}.toml"
    file = shipped if not path.exists() and path.parent == Path() and shipped.exists() else path
    table = read_settings(file, overrides, kind="protocol", example=f"ArSSRLib/evaluation/{PROTOCOLS.name}")
    readers: dict[str, Callable[[Any], Any]] = {"methods": methods_from, "published": _published, "scales": _scales}
    protocol = Protocol(**values_from(Protocol, table, readers, kind="protocol", origin=str(path)))
    # Not in the dataclass: methods that cannot run are removed later, but not their published numbers.
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
        msg = f"The protocol's scales = {shown(value)} must be a list of factors, each one number or three."
        raise InputError(msg)
    return tuple(parse_scale(scale) for scale in value)


def _check_methods(protocol: Protocol) -> None:
    names = [method.name for method in protocol.methods]
    require("methods", names, 0 < len(names) == len(set(names)), "one or more, each with a unique name")
    for method in protocol.methods:
        check_method(method)
    known = f"one of {', '.join(names)}"
    require("reference", protocol.reference_name, protocol.reference_name in names, known)
    for row in protocol.published:
        require(f"values of {row.method}", row.values, len(row.values) == len(row.scales), "one number per scale")


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
            require(name, value, value in known, f"one of {', '.join(known)}")
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
    require("scales", [], bool(protocol.scales or not protocol.subjects), "one or more if there are subjects")
