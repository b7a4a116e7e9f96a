"""One row in a separate process, which runs it on request, so that its memory is separate, and rows can alternate.

    python row_process.py '{"network": ..., "way": ..., "job": {...}, "threads": ...}'

For every line on the standard input, which is the name of a file or empty, the process runs the row once and prints one
line of JSON. The result of the run is written to the file, if one is named.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, TextIO

import numpy as np
import torch
from jobs import Job, Row
from machine import busy_seconds
from ways import Prepared, prepare

from ArSSRLib.device import peak_memory

CPU = torch.device("cpu")


def run_once(prepared: Prepared, file: str) -> dict[str, float]:
    """Run a row.

    Returns:
        Its elapsed seconds and processor seconds, the busy seconds of all cores of the machine meanwhile, and the peak
        memory in bytes so far.
    """
    busy, start, cpu_start = busy_seconds(), time.perf_counter(), time.process_time()
    result = prepared.run()
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    busy = busy_seconds() - busy
    peak = peak_memory(CPU)
    if file:
        np.save(file, prepared.answer(result))
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "busy_seconds": busy, "peak_memory": peak}


def serve(request: dict[str, Any], replies: TextIO) -> None:
    """Prepare the requested row, and run it once for each input line."""
    torch.set_num_threads(request["threads"])
    job = request["job"]
    job = Job(**{**job, "size": tuple(job["size"]), "networks": tuple(job["networks"])})
    prepared = prepare(Row(request["network"], request["way"]), job)
    print(json.dumps({"peak_memory": peak_memory(CPU)}), file=replies, flush=True)
    for line in sys.stdin:
        print(json.dumps(run_once(prepared, line.strip())), file=replies, flush=True)


if __name__ == "__main__":
    # Replies use the original standard output; output of libraries is redirected to the standard error.
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as pipe:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        serve(json.loads(sys.argv[1]), pipe)
