"""LPIPS: the perceptual distance of two volumes, from the features of an image classification network."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from ArSSRLib.errors import InputError
from ArSSRLib.evaluation.perceptual.networks import LEAST_SIDE, NETWORKS, distance, unit_features
from ArSSRLib.evaluation.perceptual.slices import FloatArray, Indices, mean_over_slices
from ArSSRLib.evaluation.perceptual.weights import load_weights, weights_file
from ArSSRLib.volume import hash_of

BATCH = 4  # slices at a time: VGG16 needs 50 MB per slice of 256 x 256 pixels
# Memory limit in bytes for features of a reference that are reused: all features of VGG16 for 64^3 voxels.
KEPT = 512 * 2**20


def lpips(reference: FloatArray, result: FloatArray, *, network: str) -> float:
    """Return the learned perceptual distance, unitless; smaller is closer.

    Args:
        reference: The truth on any scale, shape (k, j, i). Its minimum and maximum are mapped to -1 and 1.
        result: The result, same shape and scale; values outside the range of the reference are not clipped.
        network: "alex" or "vgg".

    Returns:
        LPIPS, version 0.1, of gray slices, averaged over the slices of the reference as described in `slices`. Slices
        need at least 32 pixels per side; they are neither padded nor resized, which would change the value. NaN if no
        slice counts.

    Raises:
        InputError: If the shapes differ, a volume is not 3-D or has a voxel that is not finite, or the network is
            unknown.
        MetricUnavailable: If the weights of the network are missing.

    Source:
        Zhang et al. 2018, https://arxiv.org/abs/1801.03924
    """
    if network not in NETWORKS:
        msg = f'LPIPS has no network "{network}"; choose one of {", ".join(NETWORKS)}.'
        raise InputError(msg)
    if reference.shape != result.shape or not np.isfinite(result).all():
        msg = (
            f"LPIPS compares two finite volumes of the same shape, got {reference.shape} and {result.shape}; repair "
            "them."
        )
        raise InputError(msg)
    weights = load_weights(network)
    lowest, highest = float(reference.min()), float(reference.max())
    scale = 2 / (highest - lowest) if highest > lowest else 0.0

    def _input(volume: FloatArray, axis: int, counted: Indices) -> torch.Tensor:
        slices = (np.take(volume, counted, axis=axis).astype(np.float64) - lowest) * scale - 1
        gray = np.ascontiguousarray(np.moveaxis(slices, axis, 0)[:, None], dtype=np.float32)
        return torch.from_numpy(gray)

    layers = NETWORKS[network]
    file = weights_file(network)
    known = _known_features(file, file.stat().st_mtime_ns, hash_of(reference))

    def _judge(axis: int, counted: Indices) -> FloatArray:
        parts = []
        with torch.inference_mode():
            for some in np.split(counted, range(BATCH, counted.size, BATCH)):
                place = (axis, int(some[0]))
                true = known.get(place)
                if true is None:
                    true = unit_features(_input(reference, axis, some), layers, weights)
                    if sum(part.nbytes for features in (true, *known.values()) for part in features) <= KEPT:
                        known[place] = true
                found = unit_features(_input(result, axis, some), layers, weights)
                parts.append(distance(true, found, layers, weights).numpy())
        return np.concatenate(parts)

    return mean_over_slices("LPIPS", reference, _judge, least_side=LEAST_SIDE)


@lru_cache(maxsize=len(NETWORKS))
def _known_features(_weights: Path, _changed: int, _reference: str) -> dict[tuple[int, int], list[torch.Tensor]]:
    """Return cached features of a reference, by axis and first slice, because many results are compared with it."""
    return {}
