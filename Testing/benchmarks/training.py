"""The cost of a batch and of a step: the published loader's procedure and ours, each with the same step, alternating.

The published procedure is implemented from the paper, without the engine: each patch is cut at random, coarsened by
`scipy.ndimage.zoom`, and its points are drawn from the list of all its voxels.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from phantom import noisy_phantom
from scipy import ndimage

from ArSSRLib.model.arssr2 import ArSSR2Config
from ArSSRLib.normalization import IntensityRange
from ArSSRLib.training import recipes
from ArSSRLib.training.config import TrainingConfig
from ArSSRLib.training.dataset import Batch, BatchSampler
from ArSSRLib.training.loop import Trainer
from ArSSRLib.training.preparation import TrainingVolume, store
from ArSSRLib.training.processes import Processes
from ArSSRLib.training.recipe import read_recipe

RECIPES = Path(recipes.__path__[0])
PUBLISHED_BATCH = "batch: published loader, one scipy zoom a patch"
OUR_BATCH = "batch: ours, the same patches"
PUBLISHED_STEP = "step: published loader and network"
OUR_STEP = "step: ours, the same patches and network"


@dataclass(frozen=True)
class Cost:
    """One procedure.

    Attributes:
        name: Name of the procedure.
        seconds: One measurement per round.
    """

    name: str
    seconds: tuple[float, ...]

    def times_faster_than(self, other: Cost) -> float:
        """Return the speedup over ``other``: the median over the rounds of the ratio within a round."""
        return median(theirs / ours for theirs, ours in zip(other.seconds, self.seconds, strict=True))


def measure_training(*, rounds: int, edge: int) -> tuple[list[Cost], TrainingConfig]:
    """Time a batch and a step of both procedures, with the patches of the published recipe and arssr2.

    Args:
        rounds: Number of measurements of each, one after another in each round.
        edge: Voxels of the phantom along each axis, at least 40.

    Returns:
        The costs in the order published batch, our batch, published step, our step; and the recipe.
    """
    # arssr2, because a step of the published network takes ten seconds on a CPU with any batch.
    config = replace(
        read_recipe(RECIPES / "published.toml"), model=ArSSR2Config(), coordinates="relative", fixed_patches=0
    )
    volume = noisy_phantom((edge, edge, edge))
    array = IntensityRange.of(volume.array).normalize(volume.array)
    stored: TrainingVolume = store(volume.with_array(array), subject="phantom", voxel_hash="")
    sampler = BatchSampler([[stored]], config)
    trainer = Trainer(config, sampler, [], processes=Processes(0, 1, torch.device("cpu")))
    random = np.random.default_rng(0)

    def published() -> Batch:
        return published_batch(array, config, random)

    def ours() -> Batch:
        return sampler.draw(int(random.integers(1 << 30)))

    procedures: Mapping[str, Callable[[], object]] = {
        PUBLISHED_BATCH: published,
        OUR_BATCH: ours,
        PUBLISHED_STEP: lambda: trainer.train_step(published()),
        OUR_STEP: lambda: trainer.train_step(ours()),
    }
    for procedure in procedures.values():
        procedure()
    return _in_turns(procedures, rounds), config


def published_batch(array: np.ndarray, config: TrainingConfig, random: np.random.Generator) -> Batch:
    """Prepare a batch as described in the paper.

    Args:
        array: A normalized volume, shape (k, j, i).
        config: Defines the numbers of patches and points, the size of a patch and the range of its scale.
        random: Source of randomness.

    Source:
        Wu et al. 2023, section III-D, https://doi.org/10.1109/JBHI.2022.3223106
    """
    coarse, scales, places, truths = [], [], [], []
    for _ in range(config.batch_items):
        edge = round(config.patch_size * random.uniform(*config.scale_range))
        k, j, i = (int(random.integers(n - edge + 1)) for n in array.shape)
        fine = array[k : k + edge, j : j + edge, i : i + edge]
        coarse.append(ndimage.zoom(fine, config.patch_size / edge, order=3))
        centers = (2 * np.arange(edge, dtype=np.float32) + 1) / edge - 1
        points = np.stack(np.meshgrid(centers, centers, centers, indexing="ij"), axis=-1).reshape(-1, 3)
        chosen = random.choice(len(points), config.points, replace=False)
        scales.append([edge / config.patch_size] * 3)
        places.append(points[chosen])
        truths.append(fine.reshape(-1)[chosen])
    coordinates = torch.from_numpy(np.stack(places))
    patches, truth = torch.from_numpy(np.stack(coarse))[:, None], torch.from_numpy(np.stack(truths))
    return Batch(patches, torch.tensor(scales), coordinates, coordinates, truth)


def _in_turns(procedures: Mapping[str, Callable[[], object]], rounds: int) -> list[Cost]:
    seconds: dict[str, list[float]] = {name: [] for name in procedures}
    for number in range(rounds):
        for name, procedure in procedures.items():
            start = time.perf_counter()
            procedure()
            seconds[name].append(time.perf_counter() - start)
            print(f"round {number + 1} of {rounds}: {seconds[name][-1]:8.3f} s  {name}", file=sys.stderr)
    return [Cost(name, tuple(values)) for name, values in seconds.items()]


def training_section(costs: list[Cost], config: TrainingConfig) -> str:
    """Return the table of costs as Markdown; each of ours is compared with the corresponding published row."""
    rows = []
    for cost, published in zip(costs, (costs[0], costs[0], costs[2], costs[2]), strict=True):
        per_second = 1 / median(cost.seconds)
        ratio = cost.times_faster_than(published)
        rows.append(f"| {cost.name} | {1000 * median(cost.seconds):.1f} | {per_second:.3g} | {ratio:.3g}x |")
    return "\n".join(
        [
            f"## Training: {config.batch_items} pairs of {config.patch_size}^3 voxels, {config.points} points each",
            "",
            "| procedure | milliseconds | a second | against published |",
            "| --- | ---: | ---: | ---: |",
            *rows,
            "",
            f"Rounds: {len(costs[0].seconds)}; every procedure ran once in each. Medians; ratios are medians of those "
            "within a round, above 1x is faster. The steps train the default network's architecture in fp32; a loader "
            "matters the more, the faster the device is that takes the steps.",
        ]
    )
