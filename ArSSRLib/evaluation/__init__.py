"""How models are scored. Imports the engine, is never imported by it.

The way of an evaluation, room by room: a `protocol` says what is compared on whose volumes; `ground_truth` makes each
volume ground truth and `degradation` simulates its acquisition; `methods` make results, `scoring` measures them, with
`ripple` for thick slices; `cells` keeps what is finished and names it by all that decided it; `runner` goes through one
subject and `workers` through many at once; `statistics`, `report`, `figures` and `curves` show what came out; `cli`
starts it.
"""

from ArSSRLib.errors import ArSSRError


class MetricUnavailable(ArSSRError):  # noqa: N818 - a state of this machine, not a mistake
    """A metric whose data or packages are missing: the table goes on without it; the message says how to get them."""
