"""Run the worker as ``python -m ArSSRLib.worker JOB.json``."""

import os
import sys

from ArSSRLib.worker import main

if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stderr.flush()
    # Everything is written and closed; a library that hangs or crashes while it is unloaded has no effect.
    os._exit(code)
