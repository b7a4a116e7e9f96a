"""Many subjects at once: a process for each, as many at a time as wanted, their events as one stream.

A process that dies takes its subject along and nothing else. Whatever ends the run ends its processes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import NoReturn

import torch

from ArSSRLib.evaluation.ground_truth import subject_name
from ArSSRLib.evaluation.runner import Event, Place, Problem, Task, evaluate

TERMINATED = 143
# Seconds that a process may take to end by itself.
PATIENCE = 10


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
        _end(running)


def _end(running: Mapping[Connection, tuple[BaseProcess, Task]]) -> None:
    """End what still runs: by a signal, by a pipe that nobody reads, and at last without asking."""
    for receiver, (process, _) in running.items():
        process.terminate()
        receiver.close()
    for process, _ in running.values():
        process.join(PATIENCE)
        if process.is_alive():
            process.kill()
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
    stopped = []

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        """Unwind the stack, so that a half-written file is removed."""
        stopped.append(number)  # libraries with a bare "except:" swallow what is raised while they are imported
        raise SystemExit(TERMINATED)

    signal.signal(signal.SIGTERM, leave)
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()
    with contextlib.suppress(BrokenPipeError):  # the parent has left
        for event in evaluate(task):
            if stopped or (parent is not None and not parent.is_alive()):
                return
            sender.send(event)
        sender.send(None)
