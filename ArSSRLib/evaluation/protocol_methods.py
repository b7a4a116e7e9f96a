"""The methods of a protocol: their entries, and the checks of these entries."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ArSSRLib.errors import InputError, shown
from ArSSRLib.options import DEFAULT_OPTIONS, UpsamplingOptions
from ArSSRLib.settings import dataclass_from

KINDS = ("cubic", "back_projection", "model", "folder", "program", "truth")
# Profiles stated to a model: none, that of the degradation, or a fixed one.
TRUE = "true"
TOLD = ("", TRUE, "point", "gaussian", "box")
FIELDS = ("subject", "scale", "degradation")
COMMAND_FIELDS = ("input", "folder", "profile", "thickness")


@dataclass(frozen=True)
class Method:
    """One compared system.

    Attributes:
        name: Name in tables and figures.
        kind: "cubic": spline of order 3; "back_projection": cubic, then 10 back-projections with the known slice
            profile; "model": a network of ArSSR; "folder": results of another program; "program": the same, but the
            program is run if a result is missing; "truth": the truth itself, for metrics without a reference, as a
            yardstick of sharpness.
        model: For "model": name of a bundled model, or a file of weights. ``{scale}`` is replaced by the label of the
            scale ("2", "2.5", "1x1x3"), so that a network with a fixed scale has one file per scale.
        profile: For "model": the stated slice profile: "true" is that of the degradation; "point", "gaussian" or "box"
            is stated in every case, right or wrong; "" states none, so that it may be estimated.
        options: For "model": options of the upsampling, see `ArSSRLib.options`; device and precision are those of the
            evaluation.
        files: For "folder" or "program": the file of a result, with ``{subject}``, ``{scale}`` and ``{degradation}`` in
            its name. It is never resampled: a grid that differs from the truth is an error.
        command: For "program": its command line, see `programs`; with ``{input}``, ``{folder}``, ``{profile}`` and
            ``{thickness}``, the full width at half maximum of a slice in voxels of the result.
        how: How to create missing weights or results, for the message; may also contain ``{scale}``.
        note: A note below its tables, such as the training time.
    """

    name: str
    kind: str
    model: str = ""
    profile: str = ""
    options: UpsamplingOptions = DEFAULT_OPTIONS
    files: str = ""
    command: str = ""
    how: str = ""
    note: str = ""


def methods_from(tables: object) -> tuple[Method, ...]:
    """Return the methods of a TOML file; missing options of the upsampling have their defaults.

    Raises:
        InputError: If a key is unknown or missing, or a value has the wrong type.
    """
    return tuple(_method(table, number) for number, table in enumerate(entries_of(tables, "methods"), start=1))


def entries_of(value: object, name: str) -> Sequence[Mapping[str, Any]]:
    """Return the tables ``[[name]]`` of a TOML file.

    Raises:
        InputError: If the value has another type.
    """
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        msg = f"The protocol's {name} must be tables, each under a line [[{name}]]."
        raise InputError(msg)
    return value


def _method(table: Mapping[str, Any], number: int) -> Method:
    origin = f"The table {number} of methods"
    plain = {key: value for key, value in table.items() if key != "options"}
    method = dataclass_from(Method, plain, kind="protocol", origin=origin, complete=False)
    chosen = table.get("options", {})
    require(f"options of {method.name}", chosen, isinstance(chosen, Mapping), "a table")
    origin = f"The table options of {method.name}"
    options = dataclass_from(UpsamplingOptions, chosen, kind="protocol", origin=origin, complete=False)
    return dataclasses.replace(method, options=options)


def check_method(method: Method) -> None:
    """Refuse an impossible entry.

    Raises:
        InputError: If a value is unknown, or missing or meaningless for its kind.
    """
    require(f"kind of {method.name}", method.kind, method.kind in KINDS, f"one of {', '.join(KINDS)}")
    require(f"profile of {method.name}", method.profile, method.profile in TOLD, f'one of {", ".join(TOLD[1:])}, or ""')
    ours, program = method.kind == "model", method.kind == "program"
    expected = "a model for the kind model, and only for it"
    require(f"model of {method.name}", method.model, bool(method.model) == ours, expected)
    expected = "a pattern with {subject}, {scale} and {degradation} for the kinds folder and program, and only for them"
    filed = program or method.kind == "folder"
    require(f"files of {method.name}", method.files, bool(method.files) == filed, expected)
    expected = "a command for the kind program, and only for it"
    require(f"command of {method.name}", method.command, bool(method.command) == program, expected)
    expected = "none, except for the kind model"
    told = bool(method.profile) or method.options != DEFAULT_OPTIONS
    require(f"profile or options of {method.name}", method.profile or "options", ours or not told, expected)
    patterns = (
        (method.model, ("scale",)),
        (method.how, ("scale",)),
        (method.files, FIELDS),
        (method.command, COMMAND_FIELDS),
    )
    for pattern, fields in patterns:
        require(f"pattern of {method.name}", pattern, _fillable(pattern, fields), f"no fields except {fields}")


def _fillable(pattern: str, fields: Sequence[str]) -> bool:
    try:
        pattern.format(**dict.fromkeys(fields, "x"))
    except (KeyError, IndexError, ValueError):
        return False
    return True


def require(name: str, value: object, passed: bool, expected: str) -> None:
    """Refuse a value of a protocol unless it passed its check; ``expected`` describes valid values.

    Raises:
        InputError: If it did not pass.
    """
    if not passed:
        msg = f"The protocol's {name} = {shown(value)} is not valid; expected {expected}."
        raise InputError(msg)
