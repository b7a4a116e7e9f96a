"""Small networks that infer from features how a volume was acquired; the scripts in `Testing/benchmarks` fit them."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FittedNetworks:
    """An ensemble of networks whose predictions are averaged; F is the number of features.

    Attributes:
        mean: Mean of each feature in the fit, shape (F,).
        deviation: Standard deviation of each feature in the fit, shape (F,).
    """

    mean: FloatArray
    deviation: FloatArray

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the networks from a JSON file, which has one array per attribute."""
        table = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{field.name: np.array(table[field.name], dtype=np.float64) for field in fields(cls)})

    def standardized(self, features: FloatArray) -> FloatArray:
        """Return features standardized as in the fit, same shape (..., F)."""
        return np.asarray((features - self.mean) / self.deviation)


def affine(values: FloatArray, layer: FloatArray) -> FloatArray:
    """Apply a layer of M networks with weights and biases, shape (M, F + 1, H), to values, shape (1 or M, N, F)."""
    return np.asarray(values @ layer[:, :-1] + layer[:, -1:])
