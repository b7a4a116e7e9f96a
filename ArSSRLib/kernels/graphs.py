"""One recorded graph of GPU work instead of hundreds of launches, for tiles of equal shape.

The GPU finishes the convolutions of a small tile faster than the processor launches them. The second tile of a shape is
recorded, and all later ones are replayed; a volume of a single tile needs no recording.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

Function = Callable[..., Tensor]

# With larger tiles, the GPU is the bottleneck, and a graph would keep all of its memory.
LARGEST_VOXELS = 80**3


class Repeated:
    """A function from tensors to a tensor, recorded for repeated shapes.

    It runs on a GPU without synchronization, and has no side effects; ``record`` returns a function that replays it on
    tensors of the given shapes.
    """

    def __init__(self, function: Function, record: Callable[[Function, Sequence[Tensor]], Function]) -> None:
        self._function = function
        self._record = record
        self._last: list[torch.Size] = []
        self._replay: Function | None = None
        self._works = True

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Return the result of the function."""
        shapes = [tensor.shape for tensor in inputs]
        if shapes != self._last:
            # Only one graph at a time, because each keeps its memory.
            self._last, self._replay = shapes, None
            return self._function(*inputs)
        if self._replay is None and self._works and inputs[0][0, 0].numel() <= LARGEST_VOXELS:
            try:
                self._replay = self._record(self._function, inputs)
            except RuntimeError as error:
                # Some combinations of driver and library do not support this; launching step by step is only slower.
                logger.info("This GPU's work cannot be recorded (%s); it is launched step by step.", error)
                self._works = False
        return (self._replay or self._function)(*inputs)


def cuda_graph(function: Function, inputs: Sequence[Tensor]) -> Function:
    """Record the launches of ``function`` for tensors like ``inputs``, and return a function that replays them."""
    places = [torch.empty_like(tensor).copy_(tensor) for tensor in inputs]
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = function(*places)

    def replay(*tensors: Tensor) -> Tensor:
        """Replay the recorded work with other inputs."""
        for place, tensor in zip(places, tensors, strict=True):
            place.copy_(tensor)
        graph.replay()
        return result.clone()  # the next replay writes here

    return replay
