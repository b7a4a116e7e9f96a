"""Optimizers: Adam, or Muon for the matrices of the network and Adam for the rest.

Muon replaces the gradient of a weight matrix by the nearest matrix with equal singular values, so that all directions
of a layer learn, not only the few in which the loss is steep. PyTorch's implementation expects matrices; a convolution
is treated as a matrix from all inputs of a voxel to its output channels.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ArSSRLib.errors import InputError
from ArSSRLib.training.config import TrainingConfig
from ArSSRLib.training.cpu import SinglePrecision


def make_optimizer(model: nn.Module, config: TrainingConfig) -> Optimizer:
    """Return the optimizer of a recipe for the weights of ``model``.

    Raises:
        InputError: If the recipe needs Muon and this PyTorch does not have it.
    """
    parameters = list(model.parameters())
    fused = parameters[0].device.type == "cuda"
    if config.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=config.learning_rate, fused=fused)
    if not hasattr(torch.optim, "Muon"):
        msg = f'optimizer = "muon" needs PyTorch 2.9 or later, but this is {torch.__version__}; set optimizer = "adam".'
        raise InputError(msg)
    return MuonWithAdam(parameters, config.learning_rate, fused=fused)


class MuonWithAdam(Optimizer):
    """Muon for the hidden matrices of a network; Adam for its first and last layer, its modulators and its biases.

    Args:
        parameters: Weights of a network.
        learning_rate: Learning rate of both; Muon's updates are scaled to the size of Adam's.
        fused: Whether Adam runs as one kernel.

    Source:
        Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; the scaling of the updates: Liu et al. 2025,
        https://arxiv.org/abs/2502.16982
    """

    def __init__(self, parameters: list[nn.Parameter], learning_rate: float, *, fused: bool) -> None:
        hidden = [weight for weight in parameters if is_hidden(weight)]
        # A matrix view of the same memory: Muon updates the weight itself.
        self._pairs = [(weight, nn.Parameter(as_matrix(weight.detach(), like=weight))) for weight in hidden]
        others = [weight for weight in parameters if not is_hidden(weight)]
        self._muon = torch.optim.Muon(
            [matrix for _, matrix in self._pairs], lr=learning_rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"
        )
        self._adam = torch.optim.Adam(others, lr=learning_rate, fused=fused)
        super().__init__(parameters, {})
        self.param_groups = [*self._muon.param_groups, *self._adam.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients of all weights."""
        for weight, matrix in self._pairs:
            weight.grad = matrix.grad = None
        self._adam.zero_grad(set_to_none)

    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # noqa: ANN401
        """Update every weight that has a gradient."""
        if closure is not None:
            msg = "MuonWithAdam takes no closure."
            raise ValueError(msg)
        for weight, matrix in self._pairs:
            matrix.grad = None if weight.grad is None else as_matrix(weight.grad, like=weight)
        with SinglePrecision() if self.param_groups[0]["params"][0].is_cpu else nullcontext():
            self._muon.step()  # type: ignore[no-untyped-call]
        self._adam.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of both optimizers."""
        return {"muon": self._muon.state_dict(), "adam": self._adam.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state of both optimizers from `state_dict`."""
        self._muon.load_state_dict(state_dict["muon"])
        self._adam.load_state_dict(state_dict["adam"])
        self.param_groups = [*self._muon.param_groups, *self._adam.param_groups]


def is_hidden(weight: Tensor) -> bool:
    """Return whether a weight maps hidden channels to hidden channels: a convolution, or a square linear layer."""
    if weight.ndim == 2:
        return weight.shape[0] == weight.shape[1]
    return weight.ndim > 2 and weight.shape[0] > 1 and weight.shape[1] > 2


def as_matrix(tensor: Tensor, *, like: Tensor) -> Tensor:
    """Return a weight or its gradient as a matrix, shape (outputs, inputs).

    The inputs are in the memory order of ``like``, so that ``like`` itself is not copied.
    """
    return (tensor if like.is_contiguous() else tensor.movedim(1, -1)).reshape(len(tensor), -1)
