"""Conversion of results to tables in Markdown.

Nothing here imports PyTorch, because the supervising process writes the tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gpu.plan import JOBS, TINY_JOBS

Items = Mapping[str, Mapping[str, Any]]
HEAD = (
    "| way | device ms | arithmetic ms | traffic ms | times the floor | largest error | rms error |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
)


def report(about: Mapping[str, Any], items: Items) -> str:
    """Return all results as Markdown.

    Args:
        about: Identity of the results.
        items: Results by the name of their item, as dictionaries.
    """
    machine = items.get("smoke/machine", {}).get("values", {})
    lines = [f"# {machine.get('device', 'An unknown device')}", ""]
    lines += [f"- {name}: {value}" for name, value in {**about, **machine}.items()]
    lines += ["", *_counts(items), *_troubles(items)]
    for job in (*JOBS, *TINY_JOBS):
        lines += _job(job.words, job.target, items)
    lines += [*_winners(items), *_training(items)]
    return "\n".join(lines).rstrip() + "\n"


def _counts(items: Items) -> Iterator[str]:
    yield "| stage | ok | wrong | failed | ended | no time |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for stage in dict.fromkeys(name.partition("/")[0] for name in items):
        states = [result["status"] for name, result in items.items() if name.startswith(f"{stage}/")]
        counts = (states.count(state) for state in ("ok", "wrong", "failed", "ended", "no time"))
        yield f"| {stage} | {' | '.join(map(str, counts))} |"
    yield ""


def _troubles(items: Items) -> Iterator[str]:
    troubles = {name: result for name, result in items.items() if result["status"] in ("wrong", "failed", "ended")}
    if troubles:
        yield "## What is not right"
        yield ""
        for name, result in troubles.items():
            values = ", ".join(f"{key} {value}" for key, value in result["values"].items())
            yield f"- {name} ({result['status']}): {result['message']}{values}"
        yield ""


def _job(words: str, target: float | None, items: Items) -> Iterator[str]:
    start = f"benchmark/{words}/"
    named = {name.removeprefix(start): result["values"] for name, result in items.items() if name.startswith(start)}
    rows = {way: values for way, values in named.items() if values}
    if not rows:
        return
    on_device = {way: values for way, values in rows.items() if "device ms" in values}
    yield f"## {words}"
    yield ""
    if on_device:
        yield from HEAD
    for way, values in on_device.items():
        yield _row(way, values, items.get(f"benchmark/peak in {way.split()[-1]}", {}).get("values", {}))
    yield ""
    for way, values in rows.items():
        if "ms" in values:
            yield (
                f"- {way}, {values['number format']}: {values['ms']:.1f} ms, the first time {values['first s']:.1f} s, "
                f"peak {values['peak GB']:.2f} GB"
            )
    if target is not None and on_device:
        best = min(values["device ms"] for values in on_device.values())
        yield f"- target {target:g} ms: {'met' if best <= target else 'missed'} with {best:.1f} ms"
    yield ""


def _row(way: str, values: Mapping[str, Any], peak: Mapping[str, float]) -> str:
    took = values["device ms"]
    floor = ["", "", ""]
    if peak:
        arithmetic, traffic = 1e3 * values["flop"] / peak["flops"], 1e3 * values["traffic"] / peak["bandwidth"]
        floor = [f"{arithmetic:.1f}", f"{traffic:.1f}", f"{took / max(arithmetic, traffic):.2f}"]
    return f"| {way} | {took:.1f} | {' | '.join(floor)} | {values['largest error']:.1e} | {values['rms error']:.1e} |"


def winners(items: Items) -> dict[str, Any]:
    """Return the fastest correct block of each kernel and number format."""
    found: dict[str, Any] = {}
    for name, result in items.items():
        if not name.startswith("tuning/") or result["status"] != "ok":
            continue
        _, *kernel, block = name.split("/")
        key, took = ", ".join(kernel), result["values"]["ms"]
        if key not in found or took < found[key]["ms"]:
            found[key] = {"block": block, **result["values"]}
    return found


def _training(items: Items) -> Iterator[str]:
    result = items.get("training")
    if result:
        yield f"## Training ({result['status']}{', ' if result['message'] else ''}{result['message']})"
        yield ""
        yield from (f"- {name}: {value}" for name, value in result["values"].items())


def _winners(items: Items) -> Iterator[str]:
    best = winners(items)
    if best:
        yield "## The kernels alone, with the block that is fastest"
        yield ""
        yield "| kernel | block | ms | TFLOP/s |"
        yield "| --- | --- | ---: | ---: |"
        for kernel, values in best.items():
            yield f"| {kernel} | {values['block']} | {values['ms']:.2f} | {values['TFLOP/s']:.0f} |"
