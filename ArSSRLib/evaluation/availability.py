"""What a metric says that cannot run here: the table goes on without it."""

from ArSSRLib.errors import ArSSRError


class MetricUnavailable(ArSSRError):  # noqa: N818 - a state of this machine, not a mistake
    """A metric whose data or packages are missing; the message says how to get them."""
