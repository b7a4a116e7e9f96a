"""Many subjects at once: one process per subject, a limited number at a time, with one stream of events.

A process that dies affects only its own subject. The processes end with the run, however it ends.
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
from ArSSRLib.process import ignore_hangups

TERMINATED = 143
# Seconds for a process to end by itself.
PATIENCE = 10


def events_of(tasks: Sequence[Task], jobs: int) -> Iterator[Event]:
    """Yield the events of all tasks, processing ``jobs`` subjects at a time; with one job, in this process."""
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
    """End the remaining processes: by a signal, by closing their pipe, and finally by killing them."""
    for receiver, (process, _) in running.items():
        process.terminate()
        receiver.close()
    for process, _ in running.values():
        process.join(PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()


def _started(task: Task, threads: int) -> tuple[Connection, BaseProcess]:
    # New processes, because a forked process may hang if PyTorch has threads.
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(task, sender, threads), daemon=True)
    process.start()
    sender.close()  # so that the stream ends with the process
    return receiver, process


def _received(receiver: Connection, running: dict[Connection, tuple[BaseProcess, Task]]) -> Iterator[Event]:
    try:
        event: Event | None = receiver.recv()
    except EOFError:
        process, task = running.pop(receiver)
        process.join()
        reason = f"its process ended with exit code {process.exitcode}; if it ran out of memory, use fewer --jobs."
        yield Problem(Place(subject_name(task.source)), reason)
        return
    if event is None:
        process, _ = running.pop(receiver)
        process.join()
    else:
        yield event


def _work(task: Task, sender: Connection, threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C also reaches the parent, which then ends this process
    ignore_hangups()  # for the same reason
    stopped = []

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        """Unwind the stack, so that partially written files are removed."""
        stopped.append(number)  # libraries with a bare "except:" swallow exceptions during their import
        raise SystemExit(TERMINATED)

    signal.signal(signal.SIGTERM, leave)
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()
    with contextlib.suppress(BrokenPipeError):  # the parent has ended
        for event in evaluate(task):
            if stopped or (parent is not None and not parent.is_alive()):
                return
            sender.send(event)
        sender.send(None)
