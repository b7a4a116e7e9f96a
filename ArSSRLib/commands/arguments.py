"""The arguments of every command: names, values, help.

This file needs neither PyTorch nor numpy, so that ``arssr --help`` is immediate. The action of each command is named
here as (module, function).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from ArSSRLib import __version__
from ArSSRLib.checkpoint.bundled import DEFAULT_MODELS
from ArSSRLib.errors import one_line
from ArSSRLib.options import OPTIONS, UpsamplingOptions

EXIT_REFUSED = 2
# Options that accept one or three numbers, so that "--scale 2 2 1 IN OUT" does not consume IN and OUT.
NUMBER_OPTIONS = ("--scale", "--spacing", "--size", "--slice-thickness")

EXAMPLES = """examples:
  arssr upsample brain.nii.gz brain_2x.nii.gz --scale 2
  arssr upsample thick.nrrd isotropic.nrrd --isotropic
  arssr upsample study/ sharper/ --spacing 0.8 --device cuda
  arssr upsample dicom/ dicom_2x/ --scale 2
  arssr info brain_2x.nii.gz
"""
UPSAMPLE_USAGE = """arssr upsample INPUT OUTPUT
       (--scale S | --scale SX SY SZ | --spacing MM | --spacing X Y Z | --size I J K | --isotropic)
       [options]"""


class OneLineParser(argparse.ArgumentParser):
    """A parser that reports errors in one line instead of printing its usage."""

    def error(self, message: str) -> NoReturn:
        """Print the error and where to find help, and exit with code 2."""
        self.exit(EXIT_REFUSED, f"arssr: error: {one_line(message)}; see {self.prog} --help\n")


def join_numbers(argv: Sequence[str]) -> list[str]:
    """Join the numbers after each of `NUMBER_OPTIONS` into one argument."""
    arguments: list[str] = []
    rest = list(argv)
    while rest:
        token = rest.pop(0)
        if token == "--":
            return [*arguments, token, *rest]
        if token in NUMBER_OPTIONS and rest and not rest[0].startswith("--"):
            numbers = [rest.pop(0)]
            while rest and is_number(rest[0]):
                numbers.append(rest.pop(0))
            token = f"{token}={','.join(numbers)}"
        arguments.append(token)
    return arguments


def is_number(text: str) -> bool:
    """Return whether a text is a number, including nan and inf."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def numbers(text: str) -> tuple[float, ...]:
    """Parse one or three numbers, joined by commas."""
    parts = text.split(",")
    for part in parts:
        if not is_number(part):
            msg = f'"{part}" is not a number'
            raise argparse.ArgumentTypeError(msg)
    if len(parts) not in (1, 3):
        msg = f"expected one number, or three for the axes i, j, k, got {len(parts)}"
        raise argparse.ArgumentTypeError(msg)
    return tuple(float(part) for part in parts)


def lengths(text: str) -> tuple[float, ...]:
    """Parse one or three positive numbers, joined by commas."""
    return tuple(positive(str(value)) for value in numbers(text))


def whole_numbers(text: str) -> tuple[int, ...]:
    """Parse three integers, joined by commas."""
    parts = text.split(",")
    if len(parts) != 3 or not all(part.isascii() and part.isdecimal() for part in parts):
        msg = f'expected three whole numbers of voxels for the axes i, j, k, got "{" ".join(parts)}"'
        raise argparse.ArgumentTypeError(msg)
    return tuple(int(part) for part in parts)


def positive(text: str) -> float:
    """Parse a positive number."""
    if not is_number(text) or not 0 < float(text) < float("inf"):
        msg = f'expected a positive number, got "{text}"'
        raise argparse.ArgumentTypeError(msg)
    return float(text)


def named(text: str) -> str:
    """Accept a name that is not empty: an unset variable of a shell would otherwise mean the working directory."""
    if not text.strip():
        msg = "expected a name, got an empty text"
        raise argparse.ArgumentTypeError(msg)
    return text


def build_parser(called: str = "") -> argparse.ArgumentParser:
    """Return the parser of all commands.

    Training and evaluation declare their options in their own rooms, which are only loaded if ``called``.
    """
    parser = OneLineParser(
        prog="arssr",
        description="Super-resolution of 3-D MR volumes at any scale.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"arssr {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_upsample(commands)
    _add_reproduce(commands)
    _add_models(commands)
    _add_info(commands)
    _add_convert(commands)
    _add_report(commands)
    for name, room, summary in (
        ("train", "ArSSRLib.training.cli", "train a model from a TOML recipe"),
        ("evaluate", "ArSSRLib.evaluation.cli", "compare methods by a TOML protocol, and write tables and figures"),
        ("bids", "ArSSRLib.cohort.cli", "upsample the scans of a BIDS data set into BIDS derivatives"),
    ):
        command = _add_command(commands, name, summary, (room, "run"))
        if name == called:
            import_module(room).add_arguments(command)
    return parser


Commands = argparse._SubParsersAction  # argparse has no public name for it


def _add_command(
    commands: Commands[OneLineParser], name: str, summary: str, action: tuple[str, str], usage: str | None = None
) -> OneLineParser:
    command = commands.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", usage=usage, allow_abbrev=False
    )
    verbose = "log more details, and show the traceback of an error"
    command.add_argument("-v", "--verbose", action="store_true", help=verbose)
    command.set_defaults(action=action)
    return command


def _add_upsample(commands: Commands[OneLineParser]) -> None:
    summary = "reduce the voxel size of a volume, or of every volume in a folder"
    command = _add_command(commands, "upsample", summary, ("ArSSRLib.commands.upsample", "run"), usage=UPSAMPLE_USAGE)
    command.add_argument(
        "input", metavar="INPUT", type=named, help="volume file, folder of a DICOM series, or folder of volumes"
    )
    output = "volume file to write, or folder for a DICOM series or several volumes"
    command.add_argument("output", metavar="OUTPUT", type=named, help=output)
    add_target(command)
    files = command.add_argument_group("input and output")
    files.add_argument("--series", metavar="UID", type=named, help="series to read, if a DICOM folder contains several")
    files.add_argument("--force", action="store_true", help="upsample a volume even if it looks like a label map")
    files.add_argument("--overwrite", action="store_true", help="replace OUTPUT if it exists")
    spread = "also write the standard deviation over the mirror images; needs --quality best"
    files.add_argument("--uncertainty", metavar="FILE", type=named, help=spread)
    files.add_argument("--figure", metavar="PNG", type=named, help="also write a picture of input and result")
    record = "also write OUTPUT.arssr.json, a record for arssr reproduce"
    files.add_argument("--provenance", action="store_true", help=record)
    shown = "auto: a progress bar on a terminal; json: one JSON object per line on stdout (default: %(default)s)"
    files.add_argument("--progress", default="auto", choices=("auto", "json", "none"), help=shown)


def add_target(command: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add the resolution, the model and the `UpsamplingOptions` to a command that upsamples."""
    target = command.add_argument_group("resolution (one of these)").add_mutually_exclusive_group(required=required)
    scale, spacing = "factor of at least 1, or three factors", "voxel spacing in mm, or three spacings"
    target.add_argument("--scale", metavar="S", type=numbers, help=f"{scale} along i, j, k")
    target.add_argument("--spacing", metavar="MM", type=lengths, help=f"{spacing} along i, j, k")
    target.add_argument("--size", metavar="I J K", type=whole_numbers, help="number of voxels along i, j, k")
    target.add_argument("--isotropic", action="store_true", help="bring every axis to the finest spacing of the volume")
    compute = command.add_argument_group("computation")
    # One entry per model: "arssr3 for --quality standard or best".
    qualities = {model: [q for q, used in DEFAULT_MODELS.items() if used == model] for model in DEFAULT_MODELS.values()}
    defaults = ", ".join(f"{model} for --quality {' or '.join(names)}" for model, names in qualities.items())
    compute.add_argument(
        "--model", metavar="NAME|PATH", type=named, help=f"model name or weights file (default: {defaults})"
    )
    _add_options(compute)


def _add_options(group: argparse._ArgumentGroup) -> None:
    """Add a flag for each of the `UpsamplingOptions`, except the uncertainty, which is requested by naming its file."""
    for option in OPTIONS:
        if option.name == "uncertainty":
            continue
        flag = f"--{option.name.replace('_', '-')}"
        if option.kind is bool:
            group.add_argument(flag, action="store_true", help=option.help)
            continue
        default = "" if option.default is None else " (default: %(default)s)"
        group.add_argument(
            flag,
            default=option.default,
            type=str if option.kind is str else positive,
            choices=option.choices or None,
            metavar=option.unit or None,
            help=f"{option.help}{default}",
        )


def options_of(args: argparse.Namespace) -> UpsamplingOptions:
    """Return the options from the arguments of a command that upsamples."""
    return UpsamplingOptions.from_table({**vars(args), "uncertainty": getattr(args, "uncertainty", None) is not None})


def _add_reproduce(commands: Commands[OneLineParser]) -> None:
    summary = "compute a result again from its record and compare; exit code 0: equal, 1: different, 2: not possible"
    command = _add_command(commands, "reproduce", summary, ("ArSSRLib.commands.reproduce", "run"))
    command.add_argument("result", metavar="RESULT", type=named, help="result that was written with --provenance")
    command.add_argument(
        "--input", metavar="FILE", type=named, help="volume that it was made from (default: search beside RESULT)"
    )
    command.add_argument("--model", metavar="FILE", type=named, help="weights file, if the model is not installed")


def _add_models(commands: Commands[OneLineParser]) -> None:
    summary = "list, show, verify, import or remove models"
    command = _add_command(commands, "models", summary, ("ArSSRLib.commands.models", "run"))
    tasks = ("list", "show", "verify", "import", "remove")
    what = "list all models, show a card, verify checksums, import a weights file, or remove a model (default: list)"
    command.add_argument("task", nargs="?", default="list", choices=tasks, help=what)
    which = "name of a model; for import, a weights file (default for verify: all models)"
    command.add_argument("name", nargs="?", metavar="NAME|FILE", help=which)
    command.add_argument("--as", dest="alias", metavar="NAME", help="name for the imported model")


def _add_info(commands: Commands[OneLineParser]) -> None:
    command = _add_command(commands, "info", "describe a volume or a weights file", ("ArSSRLib.commands.info", "run"))
    command.add_argument(
        "file", metavar="FILE", type=named, help="volume file, folder of a DICOM series or of volumes, or weights file"
    )
    command.add_argument(
        "--series", metavar="UID", type=named, help="series to read, if a DICOM folder contains several"
    )


def _add_convert(commands: Commands[OneLineParser]) -> None:
    summary = "convert a checkpoint of the published ArSSR code to safetensors"
    command = _add_command(commands, "convert-checkpoint", summary, ("ArSSRLib.commands.models", "convert"))
    command.add_argument("source", metavar="SOURCE", type=named, help="checkpoint to read; nothing in it is executed")
    command.add_argument("target", metavar="TARGET", type=named, help=".safetensors file to write")
    command.add_argument("--overwrite", action="store_true", help="replace TARGET if it exists")


def _add_report(commands: Commands[OneLineParser]) -> None:
    summary = "write HTML pages that compare results with their scans"
    command = _add_command(commands, "report", summary, ("ArSSRLib.cohort.report.command", "run"))
    what = (
        "results folder of arssr bids, for one page per subject and an index; or a single result, file or DICOM series"
    )
    command.add_argument("results", metavar="RESULTS", type=named, help=what)
    one = command.add_argument_group("single result")
    one.add_argument(
        "--source", metavar="SCAN", type=named, help="volume file or DICOM folder that the result was made from"
    )
    one.add_argument(
        "--series", metavar="UID", type=named, help="series of the scan, if its DICOM folder contains several"
    )
    one.add_argument("--uncertainty", metavar="FILE", type=named, help="uncertainty of the result, if it was written")
    where = "page to write, or folder for the pages (default: beside the results)"
    command.add_argument("--output", metavar="PATH", type=named, help=where)
