"""Places of the work: this process, processes on this machine, or the workers of a cluster.

Dask starts and finds the workers; site-specific settings belong in its own configuration files. `distribution` assigns
the scans to the workers.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from ArSSRLib.errors import ClusterError, InputError
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.packages import require_package

if TYPE_CHECKING:
    from distributed import Client

# Seconds to wait for an answer of the scheduler.
PATIENCE = 20
# Memory of a worker relative to the plan of its scan: includes Python, Dask and unreturned heap memory. Dask pauses a
# worker at 0.8 of its memory and ends it at 0.95.
ROOM = 1.5
# Cores per job, unless stated by the call or Dask's configuration.
DEFAULT_CORES = 4
# Monitoring a worker hundreds of times per second costs more than sending it a scan. With one scan per worker, stealing
# is pointless, and the profile is only for Dask's dashboard, which is not used here.
_CALM = {
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.monitor-interval": "500ms",
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.scheduler.work-stealing": False,
}
# Classes of dask-jobqueue by the name of the queue.
_CLUSTERS = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "lsf": "LSFCluster", "sge": "SGECluster"}


@dataclass(frozen=True)
class Place:
    """The place of the work.

    Attributes:
        jobs: Processes on this machine, or jobs in the queue of a cluster.
        scheduler: Address of a Dask scheduler, such as "tcp://node7:8786", or empty.
        cluster: Kind of a queue, one of those of dask-jobqueue, or empty.
        settings: Settings of the cluster, with the names of dask-jobqueue.
    """

    jobs: int = 1
    scheduler: str = ""
    cluster: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if self.scheduler and (self.cluster or self.jobs > 1):
            msg = "--scheduler brings its own workers; omit --jobs and --cluster, or omit --scheduler."
            raise InputError(msg)
        if self.settings and not self.cluster:
            msg = "--cluster-option needs --cluster; specify the kind of cluster, such as --cluster slurm."
            raise InputError(msg)

    @property
    def is_this_process(self) -> bool:
        """Whether nothing is distributed."""
        return self.jobs == 1 and not self.scheduler and not self.cluster

    @property
    def is_this_machine(self) -> bool:
        """Whether the work stays on this machine."""
        return not self.scheduler and not self.cluster


@dataclass(frozen=True)
class Share:
    """The limits of a worker on its machine.

    Attributes:
        memory: Memory limit of a scan on a CPU, in GB (1e9 bytes); None uses a part of the free memory.
        gpus: Number of GPUs of this machine that its processes use in turn; with 0, each worker selects its own.
        processes_per_gpu: Number of processes per GPU.
    """

    memory: float | None = None
    gpus: int = 0
    processes_per_gpu: int = 1


def gpu_share(place: Place, options: UpsamplingOptions) -> Share:
    """Return how the processes of this machine share its GPUs; nothing if the CPU or a single GPU was requested."""
    count = torch.cuda.device_count() if options.device in ("auto", "cuda") and place.is_this_machine else 0
    return Share(gpus=count, processes_per_gpu=math.ceil(place.jobs / count) if count else 1)


@contextmanager
def workers_of(place: Place, share: Share) -> Iterator[tuple[Client, Callable[[], object]]]:
    """Connect to the workers of a place other than this process; workers started here end with the block.

    Returns:
        The connection to their scheduler, and a function that requests workers again if some were lost with their jobs.

    Raises:
        ClusterError: If there is no scheduler, or the cluster cannot be started.
        DependencyError: If Dask is not installed.
    """
    require_package("distributed", "Distributing the work")
    import dask  # noqa: PLC0415 - optional packages
    from distributed import Client  # noqa: PLC0415

    with ExitStack() as stack:
        # Workers keep no results: there is nothing to spill, and a paused worker would never resume.
        kept = {f"distributed.worker.memory.{name}": False for name in ("target", "spill", "pause")}
        quiet = {"distributed.nanny.pre-spawn-environ.DASK_LOGGING__DISTRIBUTED": "critical"}
        stack.enter_context(dask.config.set({**_CALM, **kept, **quiet, "distributed.comm.timeouts.connect": PATIENCE}))
        # Errors are reported once, by ArSSR.
        for name in ("distributed", "distributed.client", "asyncio", "tornado.application"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        if place.scheduler:
            yield stack.enter_context(_reached(Client, place.scheduler)), lambda: None
            return
        cluster = stack.enter_context(_queue(place, share) if place.cluster else _local(place, share))
        renew = partial(cluster.scale, place.jobs) if place.cluster else lambda: None
        yield stack.enter_context(Client(cluster)), renew


def _reached(connect: Callable[..., Client], address: str) -> Client:
    try:
        return connect(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        msg = (
            f'{address}: no Dask scheduler responds at this address; start one with "dask scheduler", or correct the '
            "address."
        )
        raise ClusterError(msg) from error


def _local(place: Place, share: Share) -> Any:  # noqa: ANN401 - Dask's clusters have no type in common
    """Start the processes of this machine, which share its threads and accept only local connections."""
    from distributed import LocalCluster  # noqa: PLC0415

    return LocalCluster(
        n_workers=place.jobs,
        threads_per_worker=max(1, torch.get_num_threads() // place.jobs),
        memory_limit=0 if share.memory is None else int(share.memory * ROOM * 1e9),
        dashboard_address="127.0.0.1:0",
        host="127.0.0.1",
        security=True,  # otherwise, other users of this machine could send code
    )


def _queue(place: Place, share: Share) -> Any:  # noqa: ANN401 - Dask's clusters have no type in common
    """Request jobs from the queue of a cluster, one worker each."""
    require_package("dask-jobqueue", "--cluster")
    import dask  # noqa: PLC0415
    import dask_jobqueue  # noqa: PLC0415

    # Any free port for Dask's dashboard, because several may run on one machine.
    stated = {"processes": 1, "scheduler_options": {"dashboard_address": ":0"}, **place.settings}
    if dask.config.get(f"jobqueue.{place.cluster}.cores", None) is None:
        stated.setdefault("cores", DEFAULT_CORES)
    if share.memory is not None:
        stated.setdefault("memory", f"{share.memory * ROOM:.1f}GB")
    try:
        cluster = getattr(dask_jobqueue, _CLUSTERS[place.cluster])(**stated)
    except (TypeError, ValueError, OSError, RuntimeError) as error:
        raise _not_started(place, error) from error
    try:
        cluster.scale(place.jobs)
        cluster.sync(_submitted, cluster)
    except (ValueError, OSError, RuntimeError) as error:
        cluster.close()
        raise _not_started(place, error) from error
    return cluster


async def _submitted(cluster: Any) -> None:  # noqa: ANN401 - Dask's clusters have no type in common
    """Wait until the queue accepts the jobs, which need not run yet; raise its error if it accepts none."""
    from distributed.core import Status  # noqa: PLC0415

    try:
        await cluster
        for job in cluster.workers.values():
            await job
    finally:
        for job in cluster.workers.values():
            if job.status == Status.created:  # Dask does not close a cluster with such jobs
                job.status = Status.failed


def _not_started(place: Place, error: Exception) -> ClusterError:
    reason = " ".join(str(error).split())
    return ClusterError(
        f"The cluster {place.cluster} cannot be started ({reason}); see --cluster-option and Dask's configuration."
    )
