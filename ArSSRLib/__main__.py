"""Run the ``arssr`` command as ``python -m ArSSRLib``."""

import sys

from ArSSRLib.cli import main

if __name__ == "__main__":
    sys.exit(main())
