"""Fit the estimate of the slice profile to simulated acquisitions.

    python Testing/benchmarks/profile_fit.py FOLDER [SAMPLES]

FOLDER contains volumes for training. The coefficients are written to ArSSRLib/acquisition/estimate.json. SAMPLES, a
name that ends in .npz, is a file for the simulated acquisitions, which are read from it if it exists.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from profile_samples import samples_of
from torch import Tensor, nn

from ArSSRLib.acquisition.estimate import CLIPPED, COEFFICIENTS, Regression
from ArSSRLib.acquisition.networks import FittedNetworks

FloatArray = npt.NDArray[np.float64]

# Acquisitions per volume on each of two grids; each is used with and without noise.
ACQUISITIONS = 8
# Networks, values per hidden layer, steps per network, and samples per step.
NETWORKS, HIDDEN, STEPS, BATCH = 3, 24, 2500, 256
LEARNING_RATE, WEIGHT_DECAY = 6e-3, 0.1
# Standard deviation of noise on the standardized features in training, which keeps the networks smooth.
FEATURE_NOISE = 0.1
# Bounds of the logarithm of the expected error in training.
LOG_ERROR = (-6.0, 2.0)
DIGITS = 5


def draw(folder: Path) -> dict[str, npt.NDArray[np.generic]]:
    """Return simulated acquisitions of the volumes in a folder: features, and preserved contrast at Nyquist."""
    found = [
        sample
        for number, path in enumerate(sorted(folder.glob("*.nii.gz")))
        for sample in samples_of(path, ACQUISITIONS, 100 + number)
    ]
    return {
        "features": np.array([sample.features for sample in found]),
        "kept": np.array([sample.profile.transfer()[1] for sample in found]),
    }


def fit(features: FloatArray, kept: FloatArray) -> Regression:
    """Return networks fitted to features, shape (N, F), and the preserved contrast at Nyquist, shape (N,)."""
    mean, deviation = features.mean(0), features.std(0)
    values = (features - mean) / deviation
    inputs, wanted = (torch.from_numpy(x).float() for x in (values.clip(-CLIPPED, CLIPPED), kept))
    networks = [_trained(inputs, wanted, seed) for seed in range(NETWORKS)]
    first, second, last = (np.stack([layer_of(network[n]) for network in networks]) for n in (0, 2, 4))
    return Regression(
        mean=mean,
        deviation=deviation,
        least=values.min(0),
        most=values.max(0),
        first=first,
        second=second,
        last=last,
    )


def _trained(inputs: Tensor, wanted: Tensor, seed: int) -> nn.Sequential:
    """Return a network that maximizes the likelihood of the samples under a Laplace distribution."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Linear(inputs.shape[1], HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 2)
    )
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=STEPS)
    for _ in range(STEPS):
        drawn = torch.randint(len(inputs), (BATCH,))
        kept, log_error = network(inputs[drawn] + FEATURE_NOISE * torch.randn(BATCH, inputs.shape[1])).unbind(1)
        log_error = log_error.clamp(*LOG_ERROR)
        loss = ((kept - wanted[drawn]).abs() * torch.exp(-log_error) + log_error).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network


def layer_of(layer: nn.Module) -> FloatArray:
    """Return weights and biases of a linear layer, shape (F + 1, H)."""
    if not isinstance(layer, nn.Linear):
        msg = f"expected a linear layer, got {type(layer).__name__}"
        raise TypeError(msg)
    return torch.cat([layer.weight.detach().T, layer.bias.detach()[None]]).double().numpy()


def as_json(fitted: FittedNetworks) -> str:
    """Return fitted coefficients as the text of its file, one array per line."""
    rows = []
    for field in fields(fitted):
        array = getattr(fitted, field.name)
        rounded = np.array([float(f"{x:.{DIGITS}g}") for x in array.ravel()]).reshape(array.shape)
        rows.append(f"{json.dumps(field.name)}: {json.dumps(rounded.tolist(), separators=(',', ':'))}")
    return "{\n" + ",\n".join(rows) + "\n}\n"


def main(argv: Sequence[str] | None = None) -> None:
    """Fit the coefficients and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("samples", type=Path, nargs="?")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    if args.samples and args.samples.is_file():
        drawn = dict(np.load(args.samples))
    else:
        drawn = draw(args.folder)
        if args.samples:
            np.savez_compressed(args.samples, **drawn)
    regression = fit(drawn["features"], drawn["kept"])
    predicted = np.array([regression.predicted(features) for features in drawn["features"]])
    error = np.abs(predicted[:, 0] - drawn["kept"])
    print(
        f"{len(error)} samples, error of the fit: median {np.median(error):.3f}, expected {predicted[:, 1].mean():.3f}"
    )
    COEFFICIENTS.write_text(as_json(regression), encoding="utf-8")


if __name__ == "__main__":
    main()
