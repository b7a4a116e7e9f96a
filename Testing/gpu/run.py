"""One command for short access to a GPU.

    python Testing/gpu/run.py --minutes 4                # smoke test, comparisons, benchmark, tuning
    python Testing/gpu/run.py --train --minutes 9        # smoke test of seconds, training

It needs PyTorch, Triton, NumPy and SciPy, and no network. Results are in ``gpu_output`` immediately; called again with
the same output folder, it continues. ``--rehearse`` runs everything on the CPU, tiny.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# Nothing is imported from this folder itself, whose files are a package.
sys.path[:] = [
    str(ROOT / "Testing"),
    str(ROOT),
    *(p for p in sys.path if Path(p or ".").resolve() != ROOT / "Testing/gpu"),
]

from gpu import plan, report, supervision  # noqa: E402 - found by the line above
from gpu.results import Results, too_much, write_atomically  # noqa: E402

OUTPUT, DATA = ROOT / "gpu_output", ROOT / ".device"
RECIPE = ROOT / "ArSSRLib" / "training" / "recipes" / "arssr2_cpu.toml"


def main(words: Sequence[str] | None = None) -> int:
    """Run the items for which there is time.

    Returns:
        0 if all results are correct, 1 if one is not, 2 if there is no GPU.
    """
    arguments = _arguments(words)
    budget = supervision.Budget(60 * arguments.minutes)
    if not (arguments.rehearse or finds_a_gpu()):
        print("run: PyTorch finds no CUDA GPU here; add --rehearse to see on the CPU that all runs.", file=sys.stderr)
        return 2
    about = {"what": "a rehearsal on the CPU: its times mean nothing" if arguments.rehearse else "a CUDA GPU"}
    results = Results(arguments.output, about)
    items = plan.training(_of_training(arguments)) if arguments.train else plan.proof(tiny=arguments.rehearse)
    supervision.carry_out(items, results, budget, tiny=arguments.rehearse, after_each=_write_tables)
    _write_tables(results)
    for words_on_file in too_much(arguments.output):
        print(f"run: {words_on_file}, more than comes back", file=sys.stderr)
    print(f"Written to {arguments.output}.")
    return int(any(result.status not in ("ok", "no time") for result in results.items.values()))


def finds_a_gpu() -> bool:
    """Return whether there is an NVIDIA GPU; PyTorch is queried in a separate process, because this one uses no GPU."""
    if Path("/dev/nvidiactl").exists():
        return True
    ask = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    return subprocess.run([sys.executable, "-c", ask], check=False, capture_output=True).returncode == 0


def _write_tables(results: Results) -> None:
    items = results.plain()
    write_atomically(results.path.with_name("report.md"), report.report(results.about, items).encode())
    best = report.winners(items)
    if best:
        write_atomically(results.path.with_name("blocks.json"), json.dumps(best, indent=1).encode())


def _of_training(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "recipe": str(arguments.recipe),
        "data": str(arguments.data),
        "output": str(arguments.output),
        "batch_items": arguments.batch_items,
        "sessions": arguments.sessions,
        "start_from": str(arguments.resume or arguments.output),
        "init": arguments.init,
        "overrides": arguments.overrides,
    }


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Prove, measure, tune and train on a CUDA GPU.")
    parser.add_argument("--minutes", type=float, default=4.0, metavar="N", help="time for all (default %(default)s)")
    parser.add_argument("--train", action="store_true", help="train instead of measuring")
    group = parser.add_argument_group("training")
    group.add_argument("--data", type=Path, default=DATA, metavar="FOLDER", help="packed volumes, in train and val")
    group.add_argument("--recipe", type=Path, default=RECIPE, metavar="FILE", help="as it was tried on a CPU")
    group.add_argument("--batch-items", type=int, default=96, metavar="N", help="patches a step (default %(default)s)")
    group.add_argument("--init", default="", metavar="MODEL", help="weights to begin with")
    group.add_argument("--sessions", type=int, default=1, metavar="N", help="sessions as long as this, this included")
    group.add_argument("--resume", type=Path, metavar="FOLDER", help="with the parts of a state (default: the output)")
    group.add_argument(
        "--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help="of the recipe"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="FOLDER", help="(default gpu_output)")
    parser.add_argument("--rehearse", action="store_true", help="all of it on the CPU, tiny; its times mean nothing")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
