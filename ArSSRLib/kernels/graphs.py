"""One recorded graph of GPU work instead of hundreds of launches, for tiles of equal shape.

A small tile's convolutions end sooner than the processor starts them. The second tile of a shape is recorded, all
later ones are replayed; a volume of one tile never pays for a recording.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

Function = Callable[..., Tensor]

# Larger tiles keep a GPU busy for longer than their launches take, and a graph keeps all memory of its work.
LARGEST_VOXELS = 80**3


class Repeated:
    """A function of tensors to a tensor, recorded for the shape that comes again.

    Args:
        function: Runs on a GPU without waiting for it, and makes nothing that depends on values but its result.
        record: Returns a function that replays ``function`` on tensors of the shapes given.
    """

    def __init__(self, function: Function, record: Callable[[Function, Sequence[Tensor]], Function]) -> None:
        self._function = function
        self._record = record
        self._last: list[torch.Size] = []
        self._replay: Function | None = None
        self._works = True

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Return what the function returns."""
        shapes = [tensor.shape for tensor in inputs]
        if shapes != self._last:
            # One graph at a time: each keeps its memory.
            self._last, self._replay = shapes, None
            return self._function(*inputs)
        if self._replay is None and self._works and inputs[0][0, 0].numel() <= LARGEST_VOXELS:
            try:
                self._replay = self._record(self._function, inputs)
            except RuntimeError as error:
                # Some combinations of driver and library cannot; what is slower by launches is no reason to stop.
                logger.info("This GPU's work cannot be recorded (%s); it is launched step by step.", error)
                self._works = False
        return (self._replay or self._function)(*inputs)


def cuda_graph(function: Function, inputs: Sequence[Tensor]) -> Function:
    """Record what ``function`` launches for tensors like ``inputs``, and return a function that replays it."""
    places = [torch.empty_like(tensor).copy_(tensor) for tensor in inputs]
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = function(*places)

    def replay(*tensors: Tensor) -> Tensor:
        """Give the recorded work other inputs and do it again."""
        for place, tensor in zip(places, tensors, strict=True):
            place.copy_(tensor)
        graph.replay()
        return result.clone()  # the next replay writes here

    return replay
