"""One row in a process of its own, which runs it whenever it is told to: so memory is that row's alone, and rows can
be measured in turns.

    python row_process.py '{"network": ..., "way": ..., "job": {...}, "threads": ...}'

It answers every line on the standard input, the name of a file or nothing, by one run and one JSON line. The answer of
the run goes into the file, where one was named.
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
        Its seconds by the clock and by the processor, those that all cores of the machine together were busy
        meanwhile, and the peak of memory in bytes so far.
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
    """Prepare what is asked for, and run it once for each line that comes in."""
    torch.set_num_threads(request["threads"])
    job = request["job"]
    job = Job(**{**job, "size": tuple(job["size"]), "networks": tuple(job["networks"])})
    prepared = prepare(Row(request["network"], request["way"]), job)
    print(json.dumps({"peak_memory": peak_memory(CPU)}), file=replies, flush=True)
    for line in sys.stdin:
        print(json.dumps(run_once(prepared, line.strip())), file=replies, flush=True)


if __name__ == "__main__":
    # Replies go where the standard output went; whatever a library prints goes to the standard error.
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as pipe:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        serve(json.loads(sys.argv[1]), pipe)
