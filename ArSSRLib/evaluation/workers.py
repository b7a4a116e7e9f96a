"""Many subjects at once: a process for each, as many at a time as wanted, their events as one stream.

A process that dies takes its subject along and nothing else. Whatever ends the run ends its processes.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import NoReturn

import torch

from ArSSRLib.evaluation.runner import Event, Place, Problem, Task, evaluate
from ArSSRLib.evaluation.truth import subject_name

TERMINATED = 143


def events_of(tasks: Sequence[Task], jobs: int) -> Iterator[Event]:
    """Yield the events of all tasks, of ``jobs`` subjects at a time; with one job, in this process."""
    if jobs <= 1 or len(tasks) <= 1:
        for task in tasks:
            yield from evaluate(task)
        return
    waiting = list(tasks)
    running: dict[Connection, tuple[BaseProcess, Task]] = {}
    threads = max(1, torch.get_num_threads() // jobs)
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                task = waiting.pop(0)
                receiver, process = _started(task, threads)
                running[receiver] = (process, task)
            ready = wait(list(running))
            for receiver in [receiver for receiver in running if receiver in ready]:
                yield from _received(receiver, running)
    finally:
        for process, _ in running.values():
            process.terminate()
        for process, _ in running.values():
            process.join()


def _started(task: Task, threads: int) -> tuple[Connection, BaseProcess]:
    # Fresh processes: a copy of one whose PyTorch has threads may hang.
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(task, sender, threads), daemon=True)
    process.start()
    sender.close()  # so that the end of the process is the end of the stream
    return receiver, process


def _received(receiver: Connection, running: dict[Connection, tuple[BaseProcess, Task]]) -> Iterator[Event]:
    try:
        event: Event | None = receiver.recv()
    except EOFError:
        process, task = running.pop(receiver)
        process.join()
        reason = f"its process ended with exit code {process.exitcode}; if it was out of memory, use fewer --jobs."
        yield Problem(Place(subject_name(task.source)), reason)
        return
    if event is None:
        process, _ = running.pop(receiver)
        process.join()
    else:
        yield event


def _work(task: Task, sender: Connection, threads: int) -> None:
    """Evaluate one subject in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, too, which then ends this process
    signal.signal(signal.SIGTERM, _leave)
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()
    for event in evaluate(task):
        if parent is not None and not parent.is_alive():
            return
        sender.send(event)
    sender.send(None)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    """Unwind the stack, so that a half-written file is removed."""
    raise SystemExit(TERMINATED)
