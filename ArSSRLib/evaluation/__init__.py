"""Evaluation of models. It imports the engine, which never imports it.

The rooms of an evaluation: a `protocol` defines the comparison and its volumes; `ground_truth` prepares each volume,
and `degradation` simulates its acquisition; `methods` compute results, and `scoring` measures them, with `ripple` for
thick slices; `cells` stores finished parts, named by everything that determines them; `runner` processes one subject,
and `workers` many at once; `statistics`, `report`, `figures` and `curves` present the results; `cli` starts an
evaluation.
"""

from ArSSRLib.errors import ArSSRError


class MetricUnavailable(ArSSRError):  # noqa: N818 - a state of this machine, not a mistake
    """A metric whose data or packages are missing, with instructions; the evaluation continues without it."""
