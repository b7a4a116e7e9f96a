"""The methods of a protocol: what each entry says, and which entries are impossible."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ArSSRLib.errors import InputError
from ArSSRLib.options import DEFAULT_OPTIONS, UpsamplingOptions
from ArSSRLib.settings import dataclass_from

KINDS = ("cubic", "back_projection", "model", "folder", "program", "truth")
# What a model may be told: nothing, the profile of the degradation, or one whatever the degradation is.
TRUE = "true"
TOLD = ("", TRUE, "point", "gaussian", "box")
FIELDS = ("subject", "scale", "degradation")
COMMAND_FIELDS = ("input", "folder", "profile", "thickness")


@dataclass(frozen=True)
class Method:
    """One system that is compared.

    Attributes:
        name: As it stands in tables and figures.
        kind: "cubic": spline of order 3; "back_projection": cubic, then 10 back-projections that know the slice
            profile; "model": a network of ours; "folder": results of another program; "program": the same, and the
            program is run where a result is not there yet; "truth": the truth itself, by what needs no other, as a
            yardstick of sharpness.
        model: Of a "model": name of a bundled one, or a file of weights. ``{scale}`` stands for the label of the scale
            ("2", "2.5", "1x1x3"), so that a network of fixed scale has one file for each.
        profile: Of a "model": the slice profile that it is told: "true" is that of the degradation; "point", "gaussian"
            or "box" is told in every case, right or wrong; "" tells none, so that it may be estimated.
        options: Of a "model": options of the upsampling, see `ArSSRLib.options`; device and precision are those of the
            evaluation.
        files: Of a "folder" or a "program": a result's file, with ``{subject}``, ``{scale}`` and ``{degradation}`` in
            its name. It is never resampled: a file on another grid than the truth's is an error.
        command: Of a "program": how it is run, see `programs`; with ``{input}``, ``{folder}``, ``{profile}`` and
            ``{thickness}``, the full width at half maximum of a slice in voxels of the result.
        how: How to make the weights or the results, told when they are not there; with ``{scale}``, too.
        note: A remark that stands under its tables, such as how long it was trained.
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
    """Return the methods of a TOML file; an option of the upsampling that is not named has its default.

    Raises:
        InputError: If a key is unknown or missing, or a value of another type.
    """
    return tuple(_method(table, number) for number, table in enumerate(entries_of(tables, "methods"), start=1))


def entries_of(value: object, name: str) -> Sequence[Mapping[str, Any]]:
    """Return the tables that a TOML file has under lines ``[[name]]``.

    Raises:
        InputError: If the value is anything else.
    """
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        msg = f"The protocol's {name} should be tables, each under a line [[{name}]]."
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
    """Refuse an entry that cannot be compared.

    Raises:
        InputError: If a value is unknown, missing for its kind, or of no use to it.
    """
    require(f"kind of {method.name}", method.kind, method.kind in KINDS, f"one of {', '.join(KINDS)}")
    require(f"profile of {method.name}", method.profile, method.profile in TOLD, f'one of {", ".join(TOLD[1:])}, or ""')
    ours, program = method.kind == "model", method.kind == "program"
    expected = "a model for the kind model, and for no other"
    require(f"model of {method.name}", method.model, bool(method.model) == ours, expected)
    expected = "a pattern with {subject}, {scale} and {degradation} for the kinds folder and program, and for no other"
    filed = program or method.kind == "folder"
    require(f"files of {method.name}", method.files, bool(method.files) == filed, expected)
    expected = "a command for the kind program, and for no other"
    require(f"command of {method.name}", method.command, bool(method.command) == program, expected)
    expected = "none but for the kind model"
    told = bool(method.profile) or method.options != DEFAULT_OPTIONS
    require(f"profile or options of {method.name}", method.profile or "options", ours or not told, expected)
    patterns = (
        (method.model, ("scale",)),
        (method.how, ("scale",)),
        (method.files, FIELDS),
        (method.command, COMMAND_FIELDS),
    )
    for pattern, fields in patterns:
        require(f"pattern of {method.name}", pattern, _fillable(pattern, fields), f"no fields but {fields}")


def _fillable(pattern: str, fields: Sequence[str]) -> bool:
    try:
        pattern.format(**dict.fromkeys(fields, "x"))
    except (KeyError, IndexError, ValueError):
        return False
    return True


def require(name: str, value: object, passed: bool, expected: str) -> None:
    """Refuse a value of a protocol unless it passed; ``expected`` says what it should be.

    Raises:
        InputError: If it did not.
    """
    if not passed:
        msg = f"The protocol's {name} = {value!r} is impossible; expected {expected}."
        raise InputError(msg)
