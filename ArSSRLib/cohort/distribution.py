"""The distribution of scans to the workers of a place, and their outcomes.

Dask assigns scans to workers, and reassigns those of lost workers. Only as many scans as workers are submitted at a
time, for two reasons: the scheduler stays small for any data set, and a lost worker affects only its own scan, since
Dask counts the loss against every scan that was waiting there.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ArSSRLib import __version__
from ArSSRLib.cohort.places import Place, Share, workers_of
from ArSSRLib.cohort.processing import FAILED, Outcome, Task, process
from ArSSRLib.device import resolve_device, total_memory
from ArSSRLib.errors import ClusterError, DependencyError, one_line
from ArSSRLib.planning import DEFAULT_SHARE
from ArSSRLib.process import return_freed_memory

if TYPE_CHECKING:
    from distributed import Client, Future, Worker, WorkerPlugin

# Dask resource of every worker that has this version; with one unit each, it takes one scan at a time.
RESOURCE = f"arssr-{__version__}"
# Seconds between two checks of the workers, and without a scheduler until it counts as lost.
LOOK, GIVEN_UP = 2.0, 30.0
# Seconds without any worker until a warning.
NOBODY = 60.0

logger = logging.getLogger(__name__)


def outcomes_of(tasks: Iterable[Task], place: Place, share: Share) -> Iterator[Outcome]:
    """Yield the outcomes of scans in the order of completion.

    Raises:
        ClusterError: If there is no scheduler, or the connection is lost.
        DependencyError: If Dask is not installed, or every worker has another version of ArSSR.
    """
    if place.is_this_process:
        yield from map(process, tasks)
        return
    with workers_of(place, share) as (client, renew):
        yield from _Spreading(client, renew, 0 if place.scheduler else place.jobs, share).outcomes(tasks)


class _Spreading:
    """Keeps the workers of a place busy, each within its limits, and tracks their number."""

    def __init__(self, client: Client, renew: Callable[[], object], expected: int, share: Share) -> None:
        self._client, self._renew, self._expected, self._share = client, renew, expected, share
        self._ready: list[str] = []
        self._refused: dict[str, str] = {}
        # The workers that may take a scan that failed elsewhere.
        self._others: dict[Future[Any], list[str]] = {}
        self._seen = self._looked = self._worked = time.monotonic()

    def outcomes(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Yield the outcomes of scans; see `outcomes_of`."""
        waiting, running = deque(tasks), dict[Any, Task]()
        tried: set[str] = set()
        self._admit()
        while waiting or running:
            while waiting and len(running) < max(1, self._expected, len(self._ready)):
                task = waiting.popleft()
                running[self._submit(task)] = task
            for future in self._done(list(running)):
                task = running.pop(future)
                self._others.pop(future, None)
                worker, outcome = _result_of(future, task)
                # A scan whose workers died is not sent to further workers.
                again = outcome.state == FAILED and worker and task.scan.path not in tried
                if again and len(self._ready) > 1:
                    tried.add(task.scan.path)
                    running[self._submit(task, avoid=worker)] = task
                else:
                    yield outcome
            for future in self._stranded():
                task = running.pop(future)
                future.cancel()
                running[self._submit(task)] = task

    def _submit(self, task: Task, avoid: str = "") -> Future[Any]:
        """Submit a scan to every worker, or to every worker but one.

        Dask may not choose others (`allow_other_workers`): an idle worker would take the scan from the chosen ones,
        and the worker on which it has just failed is idle.
        """
        others = [worker for worker in self._ready if worker != avoid] if avoid else None
        future = self._client.submit(
            _on_worker, task, self._share, pure=False, retries=1, resources={RESOURCE: 1}, workers=others
        )
        if others:
            self._others[future] = others
        return future

    def _stranded(self) -> list[Future[Any]]:
        """Return the futures of scans whose chosen workers are all lost; forget their workers."""
        lost = [future for future, others in self._others.items() if not set(others) & set(self._ready)]
        for future in lost:
            del self._others[future]
        return [future for future in lost if not future.done()]

    def _done(self, futures: list[Future[Any]]) -> list[Future[Any]]:
        """Return the finished futures, after a limited time; check the workers at intervals."""
        from distributed import wait  # noqa: PLC0415 - an optional package

        try:
            done = list(wait(futures, timeout=LOOK, return_when="FIRST_COMPLETED").done)
        except TimeoutError:
            done = []
        except CancelledError as error:
            raise _gone() from error
        if time.monotonic() - self._looked > LOOK:
            self._look()
        return done

    def _look(self) -> None:
        """Update the known workers; request lost jobs again; raise a `ClusterError` if the connection is lost."""
        self._looked = time.monotonic()
        if self._client.status == "running":
            try:
                self._know(self._client.scheduler_info(n_workers=-1)["workers"])
                self._seen = self._looked
                self._renew()
                self._say_if_nobody_works()
                return
            except OSError:
                logger.debug("The scheduler does not answer:", exc_info=True)
        if self._client.status == "closed" or self._looked - self._seen > GIVEN_UP:
            raise _gone()

    def _say_if_nobody_works(self) -> None:
        """Warn repeatedly while there is no worker; a queue may be full, or refuse jobs."""
        if self._ready:
            self._worked = self._looked
        elif self._looked - self._worked > NOBODY:
            self._worked = self._looked
            logger.warning("No worker is accepting scans at present; check the queue of the cluster, or start workers.")

    def _admit(self) -> None:
        """Allow workers of this version, including later ones, to take scans; refuse to start if all have another."""
        self._client.register_plugin(admission())
        self._know(self._client.scheduler_info(n_workers=-1)["workers"])
        if self._refused and not self._ready:
            name, reason = next(iter(self._refused.items()))
            msg = f"No worker has ArSSR {__version__}: {name} {reason}; install the same version everywhere."
            raise DependencyError(msg)

    def _know(self, workers: dict[str, Any]) -> None:
        """Record which workers take scans, and report others once."""
        self._ready = [address for address, facts in workers.items() if RESOURCE in facts["resources"]]
        new = [address for address in workers if address not in self._ready and address not in self._refused]
        for address, found in _versions(self._client, new).items() if new else ():
            if found == __version__:  # it has only just connected
                continue
            self._refused[address] = f"has ArSSR {found}" if found else "has no ArSSR installed"
            logger.warning(
                "Worker %s (%s) %s instead of %s and receives no scans; install the same version everywhere.",
                address, workers[address]["name"], self._refused[address], __version__,
            )  # fmt: skip


def _result_of(future: Future[Any], task: Task) -> tuple[str, Outcome]:
    """Return the worker and the outcome of a scan; the worker is empty if its workers died."""
    path = task.scan.path
    if future.status == "finished":
        worker, outcome = future.result()
        return worker, outcome
    if future.status != "error":
        raise _gone()
    error = future.exception()
    if type(error).__name__ == "KilledWorker":
        words = (
            f"{path}: every worker that processed it ended unexpectedly; if they ran out of memory, allow more memory "
            "or use fewer --jobs."
        )
    else:
        words = f"{path}: {one_line(error) or type(error).__name__}"
    return "", Outcome(path, FAILED, words)


def _gone() -> ClusterError:
    return ClusterError(
        "The connection to the Dask scheduler was lost; run the command again. Finished results are kept."
    )


def _on_worker(task: Task, share: Share) -> tuple[str, Outcome]:
    """Upsample a scan on a worker, within its threads, memory and GPU; also return the address of the worker."""
    from distributed import get_worker  # noqa: PLC0415 - an optional package

    return_freed_memory()
    worker = get_worker()
    options = task.options
    if share.gpus:
        options = replace(options, device=f"cuda:{int(worker.name) % share.gpus}")
    if options.memory_limit is None:
        device = resolve_device(options.device)
        limit = share.memory
        if device.type == "cuda":
            limit = DEFAULT_SHARE * total_memory(device) / 1e9 / share.processes_per_gpu if share.gpus else None
        options = replace(options, memory_limit=limit)
    return worker.address, process(replace(task, options=options, threads=worker.state.nthreads))


def admission(version: str = __version__, resource: str = RESOURCE) -> WorkerPlugin:
    """Return a plugin that lets workers of this version take scans; pickled by value, for workers without ArSSR."""
    from distributed import Status, WorkerPlugin  # noqa: PLC0415 - an optional package

    class Admission(WorkerPlugin):
        name = "arssr"

        async def setup(self, worker: Worker) -> None:
            """Give the worker the resource that scans require."""
            try:
                from ArSSRLib import __version__ as found  # noqa: PLC0415
            except ImportError:
                return
            if found == version:
                await worker.set_resources(**{resource: 1})
                # The scheduler only assigns waiting scans when a worker changes to running.
                worker.status = Status.paused
                worker.status = Status.running

    return Admission()


def _versions(client: Client, workers: list[str]) -> dict[str, str]:
    """Return the version of each worker; empty if it has none or does not answer."""

    def found() -> str:
        """Return the version on this worker; pickled by value, for workers without ArSSR."""
        try:
            from ArSSRLib import __version__ as version  # noqa: PLC0415
        except ImportError:
            return ""
        return version

    answers = client.run(found, workers=workers, on_error="return")
    return {address: answer if isinstance(answer, str) else "" for address, answer in answers.items()}
