"""Fuzz one target, guided by coverage: ``python Testing/fuzz/run.py files --inputs 100000``.

It needs the extra "fuzz" (atheris, which has wheels for Linux on Python 3.11 to 3.13), and is not part of the tests. It
ends at the first finding and stores its input in the given folder; without a finding, it prints a line of the table in
README.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing")]

import atheris  # noqa: E402 - after the path was set

# Instrumented packages, which guide the fuzzing: our own code, and the Python code of libraries that read headers.
GUIDING = {
    "files": ["ArSSRLib.io", "ArSSRLib.geometry", "nibabel", "pydicom.filereader", "pydicom.filebase"],
    "jobs": ["ArSSRLib.worker", "json"],
    "weights": ["ArSSRLib.checkpoint", "ArSSRLib.model", "pickletools"],
    "records": ["ArSSRLib.record", "json"],
}
MEGABYTES, SECONDS_AN_INPUT, LONGEST = 4096, 25, 4096


def main() -> None:
    """Run atheris on a target for a number of inputs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=("files", "jobs", "weights", "records"))
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=Path("fuzz_output"), help="corpus and findings")
    args = parser.parse_args()
    from fuzz.seeds import seeds  # noqa: PLC0415
    from fuzz.targets import TARGETS  # noqa: PLC0415

    corpus = args.folder / args.target
    corpus.mkdir(parents=True, exist_ok=True)
    with atheris.instrument_imports(include=GUIDING[args.target]):
        for number, content in enumerate(seeds(args.target)):
            (corpus / f"seed{number}").write_bytes(content)
            TARGETS[args.target](content)  # loads, and therefore instruments, the code of the target
    counts, target, started = {"tried": 0, "understood": 0}, TARGETS[args.target], time.monotonic()

    def one_input(data: bytes) -> None:
        """Try one input, and print the summary after the last."""
        counts["tried"] += 1
        counts["understood"] += target(data)
        if counts["tried"] == args.inputs:  # the process ends without returning to Python
            minutes = (time.monotonic() - started) / 60
            print(f"| {args.target} | {args.inputs:,} | {counts['understood']:,} | {minutes:.1f} |", flush=True)

    options = [f"-runs={args.inputs}", f"-rss_limit_mb={MEGABYTES}", f"-timeout={SECONDS_AN_INPUT}"]
    options += [f"-max_len={LONGEST}", f"-artifact_prefix={corpus.parent}/", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
