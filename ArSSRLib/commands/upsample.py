"""``arssr upsample``: a finer volume from a file, or from every file of a folder."""

from __future__ import annotations

import argparse
import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ArSSRLib.checkpoint import DEFAULT_MODELS, installed_models, load_model
from ArSSRLib.commands.arguments import options_of
from ArSSRLib.commands.labels import label_count
from ArSSRLib.commands.progress import Reporter
from ArSSRLib.commands.resolution import Factors, factors_for
from ArSSRLib.commands.target import names_file, refuse_existing, target_for
from ArSSRLib.device import describe_device, resolve_device
from ArSSRLib.errors import InputError, MemoryLimitError, OutputError, one_line
from ArSSRLib.filenames import portable_name
from ArSSRLib.geometry import parse_scale, scale_label, times
from ArSSRLib.io import (
    WRITABLE_SUFFIXES,
    Derivation,
    destination_of,
    find_inputs,
    read_volume,
    validate_output,
    write_volume,
)
from ArSSRLib.io.files import is_same_file, refuse_name
from ArSSRLib.io.formats import STREAMED_SUFFIXES, single_file_suffix, suffix_of
from ArSSRLib.leftovers import write_whole
from ArSSRLib.model.interface import SuperResolutionModel
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.packages import require_package
from ArSSRLib.planning import Destination
from ArSSRLib.record import record_as_json, record_of, sidecar_of
from ArSSRLib.upsampling import Outcome, carry_out, decided, plan_upsampling
from ArSSRLib.volume import Volume

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """The settings of one call that apply to every volume; the model is loaded once."""

    args: argparse.Namespace
    options: UpsamplingOptions
    model: Callable[[], SuperResolutionModel]
    reporter: Reporter


def run(args: argparse.Namespace) -> int:
    """Upsample the requested volume, or every volume of a folder.

    Returns:
        0, or 1 if a volume of a folder failed.

    Raises:
        ArSSRError: If the request as a whole cannot be fulfilled.
    """
    source, target = Path(args.input), Path(args.output)
    if args.scale is not None:
        parse_scale(args.scale)  # before any work; checks that need the volume follow once it is read
    options = decided(options_of(args))
    model = args.model or DEFAULT_MODELS[options.quality]
    if args.figure:
        _check_figure(Path(args.figure), args)
    batch = Batch(args, options, functools.cache(lambda: load_model(model)), Reporter(args.progress))
    try:
        inputs = find_inputs(source, series=args.series)
        if inputs != [source] and not (len(inputs) == 1 and names_file(args.output)):
            return _upsample_folder(inputs, target, batch)
        _upsample_file(inputs[0], args.output, batch)
        return 0
    finally:
        batch.reporter.close()


def _upsample_folder(volumes: Sequence[Path], folder: Path, batch: Batch) -> int:
    """Upsample volumes into a folder, keeping their names; a failure does not stop the others."""
    for flag in ("figure", "uncertainty"):
        if getattr(batch.args, flag):
            msg = (
                f"--{flag} applies to a single volume, but INPUT is a folder of volumes; omit it, or specify one of "
                "the volumes."
            )
            raise InputError(msg)
    if names_file(str(folder)):
        count, source = len(volumes), volumes[0].parent
        msg = (
            f"{folder}: is the name of a file, but {source} contains {count} volumes; specify a folder for the results."
        )
        raise OutputError(msg)
    if folder.resolve() == volumes[0].parent.resolve():
        msg = (
            f"{folder}: is the input folder; choose another folder for the output, so that the results can keep the "
            "names of the volumes."
        )
        raise OutputError(msg)
    batch.model()  # a missing model is one error, not one per volume
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{folder}: cannot be created ({error.strerror}); choose another folder for the output."
        raise OutputError(msg) from error
    failed: list[str] = []
    taken: dict[str, Path] = {}
    for source in volumes:
        try:
            name = _writable_name(source)
            if taken.setdefault(name, source) is not source:
                msg = (
                    f"{source}: its result would have the same name as that of {taken[name].name}; rename one of the "
                    "two."
                )
                raise OutputError(msg)
            _upsample_file(source, str(folder / name), batch)
        except Exception as error:
            # Unexpected errors, too: after a night of work, the other volumes must be finished.
            logger.debug("%s failed because of:", source, exc_info=True)
            message = one_line(str(error)) or type(error).__name__
            batch.reporter.failed(str(source), message if str(source) in message else f"{source}: {message}")
            failed.append(source.name)
    if failed:
        logger.warning("%d of %d volumes failed: %s", len(failed), len(volumes), ", ".join(failed))
    return 1 if failed else 0


def _upsample_file(source: Path, output: str, batch: Batch) -> None:
    """Upsample a file, or a DICOM series to a derived series."""
    started = time.monotonic()
    args, reporter = batch.args, batch.reporter
    target = target_for(output, source, args)
    if args.uncertainty:
        _check_uncertainty(Path(args.uncertainty), Path(output), source, args)
    if args.provenance:
        refuse_existing(sidecar_of(Path(output)), args)
    reporter.stage("read", str(source))
    volume = read_volume(source, series=args.series)
    if not args.force:
        refuse_labels(volume, source)
    factors = factors_for(volume.geometry, args)
    model = batch.model()
    grid = f"{times(volume.geometry.size)} voxels of {times(volume.geometry.spacing)} mm"
    text = "%s: %s, %s; scale %s, model %s (SHA-256 %s)."
    logger.info(text, source, grid, volume.array.dtype, times(factors), model.name, model.sha256)
    warn_outside_training(model, factors)
    reporter.stage("upsample", str(source))
    with _larger_results_named(destination := destination_of(output)):
        plan = plan_upsampling(volume, model, factors, batch.options, destination=destination)
        outcome = carry_out(plan, volume, model, progress=reporter.fraction)
    reporter.stage("write", str(source))
    device = describe_device(resolve_device(batch.options.device))
    derivation = Derivation(model.name, model.sha256, factors, device)
    result = outcome.volume
    target.write(result, derivation, short_description(model, factors))
    if outcome.uncertainty is not None:
        write_volume(outcome.uncertainty, Path(args.uncertainty), overwrite=args.overwrite)
    if args.provenance:
        write_whole(sidecar_of(Path(output)), record_as_json(record_of(volume, outcome, model, plan)))
    elif args.overwrite:
        # The existing record describes the result that was just replaced.
        sidecar_of(Path(output)).unlink(missing_ok=True)
    if args.figure:
        reporter.stage("draw", str(source))
        _draw(volume, result, args)
    _report(outcome, output, batch, seconds=time.monotonic() - started)


@contextlib.contextmanager
def _larger_results_named(destination: Destination) -> Iterator[None]:
    """Name the formats for results that exceed the memory, if a result in another format did not fit."""
    try:
        yield
    except MemoryLimitError as error:
        if destination.folder is not None:
            raise
        msg = f"{error} A result in {' or '.join(STREAMED_SUFFIXES)} format may be larger than the memory."
        raise MemoryLimitError(msg) from error


def short_description(model: SuperResolutionModel, factors: Factors) -> str:
    """Return the model and scale of a volume, short enough for the description field of NIfTI."""
    name = model.name.encode("ascii", "replace").decode()[:24]
    return f"{name} x{scale_label(factors)} sha {model.sha256[:8]}"


def _writable_name(source: Path) -> str:
    """Return the name of the result of a volume in a folder: the same name, or one of a single-file format.

    Characters that some systems do not allow become hyphens, because the user cannot choose these names.
    """
    suffix = suffix_of(source)
    stem = source.name[: len(source.name) - len(suffix)]
    name = source.name if suffix in WRITABLE_SUFFIXES else f"{stem}{single_file_suffix(source)}"
    if name != portable_name(name):
        logger.warning(
            "%s: its result is named %s, because Windows does not allow its own name.", source, portable_name(name)
        )
    return portable_name(name)


def _check_uncertainty(path: Path, output: Path, source: Path, args: argparse.Namespace) -> None:
    """Refuse a file for the uncertainty that cannot be written, or that is the input or the output."""
    refuse_existing(validate_output(path, overwrite=True, source=source), args)
    if is_same_file(path, output):
        msg = f"{path}: is also the output, which the uncertainty would replace; choose another name for one of them."
        raise OutputError(msg)


def _check_figure(path: Path, args: argparse.Namespace) -> None:
    """Refuse a figure that could not be drawn before the volume is computed, which may take hours."""
    require_package("matplotlib", "--figure")
    if path.suffix.lower() != ".png":
        msg = f"{path}: pictures are saved as PNG; choose a name that ends in .png."
        raise OutputError(msg)
    if not path.parent.is_dir():
        msg = f"{path.parent}: is not an existing folder; create it first, or choose another one for the picture."
        raise OutputError(msg)
    refuse_name(path)
    refuse_existing(path, args)


def _draw(before: Volume, after: Volume, args: argparse.Namespace) -> None:
    from ArSSRLib.figure import save_comparison  # noqa: PLC0415  only this option needs matplotlib

    panels = [("Before", before), ("After", after)]  # the figure itself states the spacing
    save_comparison(args.figure, panels, overwrite=args.overwrite)


def refuse_labels(volume: Volume, source: Path) -> None:
    """Raise an `InputError` for a volume that looks like a label map."""
    count = label_count(volume.array)
    if count:
        msg = (
            f"{source}: looks like a label map ({count} distinct integer values), which super-resolution would "
            "corrupt; resample it with nearest-neighbor interpolation instead, or add --force if it is an image."
        )
        raise InputError(msg)


def warn_outside_training(model: SuperResolutionModel, factors: Factors) -> None:
    """Warn if a scale exceeds the range of the training."""
    largest = model.config.largest_scale
    seen, limits = largest is None or max(factors) <= largest, f"up to {largest or 0:g}"
    for entry in installed_models():
        if entry.sha256 == model.sha256:
            seen = entry.covers(factors)
            limits = f"up to {entry.trained_scales[1]:g}, and {entry.trained_thick_scale:g} along one axis alone"
    if not seen:
        text = "Scale %s is outside the range for which model %s was trained (%s); check the result carefully."
        logger.warning(text, times(factors), model.name, limits)


def _report(outcome: Outcome, output: str, batch: Batch, *, seconds: float) -> None:
    model, geometry = batch.model(), outcome.volume.geometry
    device = resolve_device(batch.options.device)
    fields = {
        "output": str(Path(output)),
        "size": list(geometry.size),
        "spacing": list(geometry.spacing),
        "seconds": round(seconds, 2),
        "device": str(device),
        "model": model.name,
        "sha256": model.sha256,
        "disagreement": outcome.disagreement,
        "slice_gains": None if outcome.gains is None else asdict(outcome.gains.summary()),
    }
    line = (
        f"{Path(output)}: {times(geometry.size)} voxels of {times(geometry.spacing)} mm, "
        f"in {seconds:.1f} s on {describe_device(device)}, model {model.name}"
    )
    if outcome.disagreement is not None:
        line += f"; a simulated acquisition of it differs from the scan by {outcome.disagreement:.2g} % of the range"
    if outcome.gains is not None:
        line += f"; uneven brightness was removed from {outcome.gains.described()}"
    batch.reporter.done(fields, line)
