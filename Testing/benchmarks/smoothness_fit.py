"""Fit the recognition of volumes that are smooth by nature.

    python Testing/benchmarks/smoothness_fit.py TRAINING AVERAGES VALIDATION

TRAINING and VALIDATION contain sharp volumes, AVERAGES those of `templates.py`, made from the same training volumes.
The coefficients are written to ArSSRLib/acquisition/smoothness.json; how many volumes count as smooth is printed for
the fit and for the validation.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from profile_fit import as_json, layer_of
from smoothness_samples import Judged, scans, smooth_volumes
from torch import Tensor, nn

from ArSSRLib.acquisition.smoothness import CLIPPED, COEFFICIENTS, LEAST_ODDS, Classifier

FloatArray = npt.NDArray[np.float64]

# Per training volume and grid: simulated scans; smooth volumes of it, and of an average. Scans per validation volume.
SCANS, SMOOTH, AVERAGES, VALIDATED = 6, 5, 30, 16
# Networks, values in the hidden layer, steps per network, and samples per step.
NETWORKS, HIDDEN, STEPS, BATCH = 6, 16, 800, 512
LEARNING_RATE, WEIGHT_DECAY = 1e-2, 0.3
# Standard deviation of noise on the standardized features in training, which keeps the networks smooth.
FEATURE_NOISE = 0.15
# Weight of a smooth volume against a scan: a scan that counts as smooth loses more than the other way around.
SMOOTH_WEIGHT = 0.5


def volumes_of(folder: Path) -> list[Path]:
    """Return the volumes of a folder in the order of their names."""
    return sorted(folder.glob("*.nii.gz"))


def fit(samples: Sequence[Judged]) -> Classifier:
    """Return networks fitted to samples."""
    features = np.array([sample.features for sample in samples])
    mean, deviation = features.mean(0), features.std(0)
    values = ((features - mean) / deviation).clip(-CLIPPED, CLIPPED)
    inputs, smooth = torch.from_numpy(values).float(), torch.tensor([float(sample.smooth) for sample in samples])
    networks = [_trained(inputs, smooth, seed) for seed in range(NETWORKS)]
    first, last = (np.stack([layer_of(network[n]) for network in networks]) for n in (0, 2))
    return Classifier(mean, deviation, first, last)


def _trained(inputs: Tensor, smooth: Tensor, seed: int) -> nn.Sequential:
    """Return a network that predicts the log odds of being smooth."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(inputs.shape[1], HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 1))
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    loss = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(SMOOTH_WEIGHT))
    for _ in range(STEPS):
        drawn = torch.randint(len(inputs), (BATCH,))
        odds = network(inputs[drawn] + FEATURE_NOISE * torch.randn(BATCH, inputs.shape[1]))[:, 0]
        optimizer.zero_grad()
        loss(odds, smooth[drawn]).backward()
        optimizer.step()
    return network


def report(title: str, samples: Sequence[Judged], classifier: Classifier) -> None:
    """Print how many samples of each kind count as smooth, and the largest log odds of scans."""
    odds = [classifier.log_odds(sample.features) for sample in samples]
    total, flagged = Counter(s.label for s in samples), Counter()
    flagged.update(s.label for s, found in zip(samples, odds, strict=True) if found > LEAST_ODDS)
    print(title)
    for label in sorted(total):
        print(f"  {label}: {flagged[label]} of {total[label]} count as smooth")
    print(f"  largest log odds of a scan: {max(o for s, o in zip(samples, odds, strict=True) if not s.smooth):.2f}")


def main(argv: Sequence[str] | None = None) -> None:
    """Fit the coefficients and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("training", "averages", "validation"):
        parser.add_argument(name, type=Path)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    samples: list[Judged] = []
    for number, path in enumerate(volumes_of(args.training)):
        samples += scans(path, SCANS, number)
        samples += smooth_volumes(path, SMOOTH, 1000 + number, average=False)
    for number, path in enumerate(volumes_of(args.averages)):
        samples += smooth_volumes(path, AVERAGES, 2000 + number, average=True)
    classifier = fit(samples)
    COEFFICIENTS.write_text(as_json(classifier), encoding="utf-8")
    report("Training", samples, classifier)
    judged = [one for n, path in enumerate(volumes_of(args.validation)) for one in scans(path, VALIDATED, 3000 + n)]
    report("Validation", judged, classifier)


if __name__ == "__main__":
    main()
