"""Updates the three tables of README.md from their sources: ``python Testing/pages/front_page.py``.

Run it after a change of the bundled models, of the card of the default model, or of the benchmarks. A test compares.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator
from pathlib import Path

from ArSSRLib.checkpoint import DEFAULT_MODEL, RegistryEntry, registry

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
BENCHMARKS = ROOT / "Resources" / "Performance" / "benchmarks.md"


def updated(readme: str) -> str:
    """Return the text of the README with its three tables updated from their sources.

    Raises:
        LookupError: If the README lacks the markers of a table.
    """
    for name, table in (("models", models()), ("quality", quality()), ("speed", speed())):
        mark = re.compile(rf"(<!-- {name}: begin -->\n).*?(<!-- {name}: end -->)", flags=re.DOTALL)
        if not mark.search(readme):
            msg = f"README.md has no marks for the table of {name}: <!-- {name}: begin --> and <!-- {name}: end -->."
            raise LookupError(msg)
        readme = mark.sub(lambda match, table=table: f"{match[1]}{table}{match[2]}", readme)
    return readme


def models() -> str:
    """Return the table of the bundled models."""
    rows = [
        f"| [`{entry.name}`](ArSSRLib/weights/{entry.card}){' (default)' if entry.name == default_model() else ''} "
        f"| {entry.title} | {entry.trained_scales[0]:g} to {entry.trained_scales[1]:g} "
        f"| up to {entry.trained_thick_scale:g} | {entry.path.stat().st_size / 1e6:.1f} MB |\n"
        for entry in registry()
        if not entry.imported
    ]
    head = "| model | for | scales, all axes | scales, one thick axis | size |\n| --- | --- | --- | --- | --- |\n"
    return head + "".join(rows)


def quality() -> str:
    """Return the quality of the default model and the two baselines, averaged over the rows of its card.

    The card lists each volume: volume, scale, profile, PSNR / SSIM of each method, with the model last, and its gain in
    dB.
    """
    groups: dict[tuple[str, str], list[list[str]]] = {}
    for volume_row in _rows(_card(), first_column="volume"):
        groups.setdefault((volume_row["scale"], volume_row["profile"]), []).append(list(volume_row.values()))
    model, volumes = default_model(), {len(rows) for rows in groups.values()}
    lines = [
        f"Each of {max(volumes)} volumes that `{model}` was not trained on was downsampled and then upsampled again. "
        "The table shows the mean agreement with the original inside the brain mask, as PSNR in dB / SSIM; higher is "
        "better. The slice profile says how the coarse slices were simulated: *point* takes single samples, "
        "*gaussian* averages over the slice thickness. *Back-projection* corrects the interpolated volume until it "
        "agrees with the input, and is given the true slice profile; "
        f"`{model}` is not. The gain is over the better of cubic and back-projection.\n\n",
        f"| scale, slice profile | cubic | cubic + 10 back-projections | {model} | gain, dB: mean (smallest) |\n",
        "| --- | --- | --- | --- | --- |\n",
    ]
    for (scale, profile), rows in groups.items():
        gains = [float(row[-1]) for row in rows]
        cells = " | ".join(_mean([row[column] for row in rows]) for column in (3, 4, -2))
        lines.append(f"| {scale}, {profile} | {cells} | {statistics.mean(gains):+.2f} ({min(gains):+.2f}) |\n")
    return "".join(lines)


def speed() -> str:
    """Return seconds and memory of whole jobs, from the summary of the benchmarks.

    They were measured with the default model or with an earlier one, whose time the summary then compares with it.
    """
    text = BENCHMARKS.read_text(encoding="utf-8")
    machine = re.search(r"^Made by `make bench` on (.*?), threads: (\d+), (\w+)", text, flags=re.MULTILINE)
    if machine is None:
        msg = f"{BENCHMARKS.name} does not state the machine: no line begins with 'Made by `make bench` on'."
        raise LookupError(msg)
    measured = re.search(r"^\| .*? \| default model \((.*?)\) \|", text, flags=re.MULTILINE)
    compared = re.search(rf"^`{default_model()}` takes .*?\.$", text, flags=re.MULTILINE)
    if measured is None or (measured[1] != default_model() and compared is None):
        msg = f"{BENCHMARKS.name} neither measures {default_model()} nor compares its time with that of another model."
        raise LookupError(msg)
    lines = [
        f"Time to compute a whole volume with `{measured[1]}` on {machine[1]} with {machine[2]} CPU cores in "
        f"{machine[3]}, without the start of the program, and the memory of the whole process. "
        f"{compared[0] + ' ' if compared and measured[1] != default_model() else ''}*As published* is the "
        "paper's network, which encodes the volume again for every slice. ≈ marks an estimate from parts that were "
        "measured.\n\n",
        "| voxels, scale | seconds | memory, GB | speedup over *as published* |\n",
        "| --- | ---: | ---: | ---: |\n",
    ]
    for row in _rows(text, first_column="job"):
        job, network, published, _, _, seconds, gigabytes, _ = row.values()
        if network == f"default model ({measured[1]})":
            lines.append(f"| {job} | {seconds} | {gigabytes} | {published} |\n")
    return "".join(lines)


def default_model() -> str:
    """Return the name of the default model of the command."""
    return DEFAULT_MODEL


def _card() -> str:
    entries: dict[str, RegistryEntry] = {entry.name: entry for entry in registry()}
    return entries[default_model()].card_text()


def _rows(text: str, *, first_column: str) -> Iterator[dict[str, str]]:
    """Return the rows of the first table whose first column has this name, by name of the columns."""
    tables = (block.splitlines() for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE))
    for head, _, *body in tables:
        names = _cells(head)
        if names[0] == first_column:
            yield from (dict(zip(names, _cells(line), strict=True)) for line in body)
            return
    msg = f"There is no table whose first column is {first_column!r}."
    raise LookupError(msg)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _mean(cells: list[str]) -> str:
    """Return the mean of cells such as "37.15 / 0.9649"."""
    psnr, ssim = zip(*(map(float, cell.split("/")) for cell in cells), strict=True)
    return f"{statistics.mean(psnr):.2f} / {statistics.mean(ssim):.4f}"


if __name__ == "__main__":
    README.write_text(updated(README.read_text(encoding="utf-8")), encoding="utf-8")
