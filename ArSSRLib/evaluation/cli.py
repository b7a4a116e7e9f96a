"""arssr evaluate: tables and figures for a protocol, or the training curves of runs as a figure."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tqdm import tqdm

from ArSSRLib.device import resolve_device
from ArSSRLib.errors import DependencyError, InputError
from ArSSRLib.evaluation.cases import write_inputs
from ArSSRLib.evaluation.ground_truth import subject_name
from ArSSRLib.evaluation.methods import has_weights, weights_hash, why_missing
from ArSSRLib.evaluation.protocol import Protocol, Scale, read_protocol
from ArSSRLib.evaluation.report import REPORT_NAME, write_report
from ArSSRLib.evaluation.results import CSV_NAME, Results, write_csv
from ArSSRLib.evaluation.runner import Cell, Problem, Task
from ArSSRLib.evaluation.scoring import why_unavailable
from ArSSRLib.evaluation.workers import events_of
from ArSSRLib.geometry import scale_label
from ArSSRLib.io.sources import Source, find_sources

DONE, FAILED, INTERRUPTED, TERMINATED = 0, 1, 130, 143


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``arssr evaluate`` to its parser."""
    one = "TOML protocol, or the name of one in ArSSRLib/evaluation/protocols, such as table1"
    parser.add_argument("protocol", type=Path, nargs="?", help=one)
    change = "override a value of the protocol; can be repeated"
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help=change)
    jobs = "number of parallel processes (default: 1)"
    parser.add_argument("--jobs", type=_jobs, default=1, metavar="N", help=jobs)
    device = "device to compute on: auto, cpu, cuda, cuda:N or mps (default: %(default)s)"
    parser.add_argument("--device", default="auto", help=device)
    parser.add_argument("--strict", action="store_true", help="fail if a method or a metric is not available")
    curves = "only draw the training curves of each RUN; the last name is the PNG file to write"
    parser.add_argument("--curves", nargs="+", type=Path, metavar="RUN", help=curves)
    inputs = "only write the inputs of the methods, for another program to upsample"
    parser.add_argument("--inputs", type=Path, metavar="FOLDER", help=inputs)
    parser.add_argument("--no-progress", action="store_true", help="do not show a progress bar")


def run(args: argparse.Namespace) -> int:
    """Run the evaluation or draw the curves; finished cells are kept after any interruption.

    Returns:
        0; 1 if a cell failed, or was left out with ``--strict``; 128 plus the number of the signal if it was ended.

    Raises:
        ArSSRError: If the protocol is not usable, or nothing can be evaluated.
    """
    if args.curves:
        return _draw_curves(args.curves)
    if args.protocol is None:
        msg = (
            "No protocol was specified; choose one, such as table1. The bundled protocols are in "
            "ArSSRLib/evaluation/protocols."
        )
        raise InputError(msg)
    protocol = read_protocol(args.protocol, args.overrides)
    if protocol.figure_subjects:
        _require_matplotlib()
    simulated, real = _sources_of(protocol)
    if args.inputs:
        written = write_inputs(protocol, simulated, real, args.inputs)
        print(f"{args.inputs}: {len(written)} volumes.")
        return DONE
    protocol, left_out = _what_can_run(protocol)
    if args.strict and left_out:
        raise InputError(" ".join(left_out))
    results = Results(protocol, weights_by_scale(protocol), left_out)
    device = str(resolve_device(args.device))
    tasks = [Task(protocol, s, False, n < protocol.figure_subjects, device) for n, s in enumerate(simulated)]
    tasks += [Task(protocol, s, True, n < protocol.figure_subjects, device) for n, s in enumerate(real)]
    # In smaller parts; otherwise, the last of three subjects would leave one of two processors idle.
    tasks = [part for task in tasks for part in task.parts()] if args.jobs > 1 else tasks
    try:
        _collect(results, tasks, jobs=args.jobs, progress=not args.no_progress)
    except (KeyboardInterrupt, SystemExit) as stop:
        print(f"{protocol.output}: stopped; finished cells are kept, and the same command continues from there.")
        return INTERRUPTED if isinstance(stop, KeyboardInterrupt) else int(stop.code or TERMINATED)
    return _ended(results, args)


def _sources_of(protocol: Protocol) -> tuple[list[Source], list[Source]]:
    """Return the volumes that serve as truth, and the real thick-slice volumes, each with a unique name."""
    simulated = find_sources(protocol.subjects, protocol.split) if protocol.subjects else []
    real = find_sources(protocol.real, protocol.split) if protocol.real else []
    limit = protocol.subject_limit or None
    with_masks = [source.path.name for source in simulated[:limit] if source.lesions]
    if protocol.lesions and with_masks:
        msg = (
            f"{protocol.subjects} lists lesions for {with_masks[0]}, but the protocol asks for synthetic ones; add "
            "--set lesions= to evaluate the listed lesions, or delete the column lesions."
        )
        raise InputError(msg)
    return _named_apart(simulated[:limit]), _named_apart(real)


def _what_can_run(protocol: Protocol) -> tuple[Protocol, list[str]]:
    """Return the protocol without the methods and metrics that cannot run here, and a sentence about each of them."""
    methods, left_out = [], []
    for method in protocol.methods:
        scales = _scales_of(protocol) if method.kind == "model" else ()
        lacking = [scale for scale in scales if not has_weights(method, scale)]
        if lacking:
            left_out.append(why_missing(method, lacking))
        if not lacking or len(lacking) < len(scales):
            methods.append(method)
    metrics = []
    for name in protocol.metrics:
        if reason := why_unavailable(name):
            left_out.append(f"Metric {name}: {reason}")
        else:
            metrics.append(name)
    if not methods or not metrics:
        raise InputError(" ".join(["No part of the protocol can run on this computer.", *left_out]))
    names = [method.name for method in methods]
    reference = protocol.reference_name if protocol.reference_name in names else names[0]
    return dataclasses.replace(protocol, methods=tuple(methods), metrics=tuple(metrics), reference=reference), left_out


def weights_by_scale(protocol: Protocol) -> dict[str, dict[str, str]]:
    """Return the SHA-256 of the weights of every model by label of the scale, if the weights exist."""
    found: dict[str, dict[str, str]] = {}
    for method in protocol.methods:
        for scale in _scales_of(protocol):
            if method.kind == "model" and has_weights(method, scale):
                found.setdefault(method.name, {})[scale_label(scale)] = weights_hash(method, scale)
    return found


def _jobs(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        msg = f'expected a whole number of processes, at least 1, got "{text}"'
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _named_apart(sources: Sequence[Source]) -> list[Source]:
    """Return sources with unique names: scans of one subject are distinguished by their files."""
    names = [subject_name(source) for source in sources]
    apart = []
    for source, name in zip(sources, names, strict=True):
        stem = source.path.name.partition(".")[0]
        apart.append(dataclasses.replace(source, subject=f"{name}_{stem}" if names.count(name) > 1 else name))
    return apart


def _scales_of(protocol: Protocol) -> Sequence[Scale]:
    """Return the scales at which weights are required; those of real volumes are only known once they are read."""
    return protocol.scales or ((1.0, 1.0, 1.0),)


def _collect(results: Results, tasks: Sequence[Task], *, jobs: int, progress: bool) -> None:
    """Collect all events, and report problems immediately."""
    protocol = results.protocol
    settings = [len(protocol.scales) * len(task.protocol.degradations) if not task.real else 1 for task in tasks]
    with tqdm(total=sum(settings) * len(protocol.methods), unit="cell", disable=not progress) as bar:
        for event in events_of(tasks, jobs):
            results.add(event)
            if isinstance(event, Cell) and event.place.method:
                bar.update()
            elif isinstance(event, Problem):
                bar.update()
                if not event.missing:  # reported at the end
                    bar.write(f"{' '.join(word for word in dataclasses.astuple(event.place) if word)}: {event.reason}")


def _ended(results: Results, args: argparse.Namespace) -> int:
    """Write tables and figures, and print a summary."""
    output = results.protocol.output
    write_csv(results.rows(), output / CSV_NAME)
    figures: list[Path] = []
    if results.protocol.figure_subjects:
        from ArSSRLib.evaluation.figures import FOLDER, draw_figures  # noqa: PLC0415  only pictures need matplotlib

        figures = draw_figures(results, output / FOLDER)
    overrides = [word for override in args.overrides for word in ("--set", override)]
    command = shlex.join(["arssr", "evaluate", str(args.protocol), *overrides])
    write_report(results, output / REPORT_NAME, command=command, figures=figures)
    cells = [cell for cell in results.cells if cell.place.method]
    computed = sum(cell.computed for cell in cells)
    failed = len(results.failures)
    print(f"{output / REPORT_NAME}: {len(cells)} cells, {computed} of them computed now, {failed} failed.")
    for line in results.absent():
        print(f"Left out: {line}")
    return FAILED if results.failures or (args.strict and results.missing) else DONE


def _require_matplotlib() -> None:
    """Refuse figures that could not be drawn before the table is computed, which may take hours."""
    if find_spec("matplotlib") is None:
        msg = "Pictures need matplotlib: pip install ArSSRLib[evaluate]; or omit them with --set figure_subjects=0."
        raise DependencyError(msg)


def _draw_curves(names: Sequence[Path]) -> int:
    """Draw the runs into the figure, which is the last name."""
    _require_matplotlib()
    from ArSSRLib.evaluation.curves import draw_curves  # noqa: PLC0415  only pictures need matplotlib

    *runs, picture = names
    draw_curves(runs, picture)
    print(f"{picture}: the curves of {len(runs)} runs.")
    return DONE
