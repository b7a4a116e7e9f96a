"""Running of items in a separate process, within the time: a kernel that hangs or crashes only affects its own item.

After an illegal access, a process cannot use its GPU any more. After any failure, the next item is therefore run in a
new process if necessary; this process, which stores the results, never uses a GPU.
"""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from gpu.plan import Item
from gpu.results import OPEN, Result, Results

# Seconds reserved for the end: writing, printing, and exiting.
RESERVE = 1.0
# Seconds before the end of its time at which a long item should be finished.
ENDING = 2.0
# First message of the working process, and prefix of messages that are not final results.
READY, SO_FAR = "ready", "so far"


class Budget:
    """The time budget of a run, from now on.

    Args:
        seconds: Length of the budget.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds - min(RESERVE, 0.1 * seconds)

    def left(self) -> float:
        """Return the remaining seconds, at least 0."""
        return max(0.0, self._end - time.monotonic())


class Worker:
    """The working process.

    Args:
        tiny: Whether it rehearses on the CPU.
    """

    def __init__(self, *, tiny: bool) -> None:
        context = multiprocessing.get_context("spawn")
        self.ready = False
        self._here, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, tiny), daemon=True)
        self._process.start()
        there.close()

    def answer(self, seconds: float, tell: Callable[[Any], object] = lambda _: None) -> Any:
        """Return the message of the process within a time limit.

        Args:
            seconds: The time limit.
            tell: Called with intermediate states, whenever the process reports one.

        Raises:
            TimeoutError: If there is no message.
            EOFError: If the process has died.
        """
        end = time.monotonic() + seconds
        while True:
            if not self._here.poll(max(0.0, end - time.monotonic())):
                raise TimeoutError
            message = self._here.recv()
            if not (isinstance(message, tuple) and message[0] == SO_FAR):
                return message
            tell(message[1])

    def ask(self, item: Item, seconds: float) -> None:
        """Start an item, which is ended after a time limit.

        Raises:
            OSError: If the process has died.
        """
        arguments = {**item.arguments, "seconds": max(1.0, seconds - ENDING)} if item.is_long else item.arguments
        self._here.send((item.call, dict(arguments), item.is_long))

    def end(self) -> str:
        """End the process in any state; return how it ended, as text."""
        if self._process.exitcode is None:
            self._process.kill()
        self._process.join()
        code = self._process.exitcode or 0
        return f"its process was ended by signal {-code}" if code < 0 else f"its process left with status {code}"


def carry_out(
    items: Iterable[Item],
    results: Results,
    budget: Budget,
    *,
    tiny: bool,
    after_each: Callable[[Results], object] = lambda _: None,
) -> None:
    """Run the unfinished items in order, as long as there is time; every result is stored immediately."""
    worker: Worker | None = None
    for item in items:
        if results.has(item.name) and not item.is_long:
            continue
        result = Result("no time")
        if budget.left() >= item.least:
            worker = worker or Worker(tiny=tiny)
            result = _attempt(worker, item, budget, results)
            if result.status in OPEN:
                worker.end()
                worker = None
        results.add(item.name, result)
        after_each(results)
        print(line(item.name, result), flush=True)
    if worker is not None:
        worker.end()


def _attempt(worker: Worker, item: Item, budget: Budget, results: Results) -> Result:
    """Return the result of an item; after "ended" and "no time", the process is not usable any more."""
    started, known = time.monotonic(), {}

    def tell(values: Any) -> None:
        """Store the intermediate state of the item."""
        known.update(values)
        so_far = Result("ended", time.monotonic() - started, dict(known), "so far")
        results.add(item.name, so_far)
        print(line(item.name, so_far), flush=True)

    try:
        if not worker.ready:
            worker.answer(budget.left())
            worker.ready = True
        seconds = min(item.limit, budget.left())
        worker.ask(item, seconds)
        return Result(**worker.answer(seconds, tell))
    except TimeoutError:
        took = time.monotonic() - started
        late = f"it was not done after {took:.1f} s"
        return Result("ended" if budget.left() else "no time", took, known, late)
    except (EOFError, OSError):
        return Result("ended", time.monotonic() - started, known, worker.end())


def line(name: str, result: Result) -> str:
    """Return a result as one line."""
    values = ", ".join(f"{key} {_short(value)}" for key, value in result.values.items())
    said = " - ".join(part for part in (values, result.message) if part)
    return f"{result.status:7} {result.seconds:6.1f} s  {name}: {said}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _serve(there: Connection, tiny: bool) -> None:
    """Run the requested items one after another, until there are no more requests."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    os.environ["TRITON_INTERPRET"] = "1" if tiny else "0"
    if tiny:
        os.environ["OMP_NUM_THREADS"] = "1"
    logging.basicConfig(stream=sys.stdout, format="        %(name)s: %(message)s")
    logging.getLogger("ArSSRLib.kernels").setLevel(logging.INFO)  # logs the selected implementation and the reason
    from gpu import bare  # noqa: PLC0415 - before anything of the engine

    bare.install()
    there.send(READY)
    while True:
        try:
            call, arguments, is_long = there.recv()
        except EOFError:
            return
        if is_long:
            arguments["tell"] = lambda values: there.send((SO_FAR, values))
        there.send(_done(call, arguments | {"tiny": tiny}))


def _done(call: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Run one item, and return its `Result` as a dictionary."""
    started = time.monotonic()
    try:
        module, _, function = call.partition(":")
        values = getattr(importlib.import_module(module), function)(**arguments)
        status = "ok" if values.pop("right", True) else "wrong"
        message = values.pop("message", "")
    except Exception as error:  # any exception of a compiler, a driver or a mistake in these tests
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        text = " ".join(str(error).split())[:300]
        status, values, message = "failed", {}, f"{type(error).__name__}: {text} ({place})"
    return {"status": status, "seconds": time.monotonic() - started, "values": values, "message": message}


def _leave_with_parent() -> None:
    """End this process when its parent has ended, even if that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
    os._exit(1)
