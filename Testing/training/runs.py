"""Runs of a few steps on phantoms, for the tests of training."""

from __future__ import annotations

import csv
import dataclasses

import numpy as np
import torch
from scipy import ndimage

from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import write_volume
from ArSSRLib.model.arssr import ArSSRConfig
from ArSSRLib.model.arssr2 import ArSSR2Config
from ArSSRLib.training.config import TrainingConfig
from ArSSRLib.training.dataset import BatchSampler
from ArSSRLib.training.loop import Trainer
from ArSSRLib.training.preparation import STORED_ONE, TrainingVolume
from ArSSRLib.training.processes import Processes
from ArSSRLib.training.validation import make_case
from ArSSRLib.volume import Volume

CPU = torch.device("cpu")
TINY = ArSSR2Config(channels=8, blocks=1, feature_channels=8, decoder_layers=2)
TINY_PUBLISHED = ArSSRConfig(encoder="ResCNN", feature_channels=4, decoder_depth=2, decoder_width=8)


def tiny_config(folder, **changes):
    config = TrainingConfig(
        training_data=folder,
        output=folder / "run",
        cache=folder / "cache",
        model=TINY,
        target_spacings=(0.0,),
        target_weights=(1.0,),
        batch_items=2,
        patch_size=6,
        margin=1,
        points=200,
        steps=12,
        warm_up_steps=2,
        validate_every=1000,
        checkpoint_every=1000,
    )
    return dataclasses.replace(config, **changes)


def rough_grids(shape=(30, 32, 28), **changes):
    """Return one volume of noise, which no interpolation can reconstruct."""
    stored = (8000 * torch.rand(shape, generator=torch.Generator().manual_seed(0))).to(torch.int16)
    return [[TrainingVolume("phantom", stored, torch.nonzero(stored > 100)[::50], **changes)]]


def smooth_array(shape=(48, 52, 44), sigma=4.0, seed=1):
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), sigma)
    return ((smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)


def smooth_grids(shape=(48, 52, 44), sigma=4.0, **changes):
    """Return one smooth volume, which a spline represents exactly."""
    stored = torch.from_numpy(np.rint(smooth_array(shape, sigma) * STORED_ONE).astype(np.int16))
    return [[TrainingVolume("phantom", stored, torch.nonzero(stored > 1000)[::100], **changes)]]


def trainer_of(config, cases=(), *, grids=None, initial=None, data=""):
    sampler = BatchSampler(grids or rough_grids(), config)
    return Trainer(config, sampler, list(cases), processes=Processes(0, 1, CPU), initial=initial, data=data)


def losses_of(trainer, count):
    return [float(trainer.train_step(trainer.sampler.draw(trainer.step))[0]) for _ in range(count)]


def write_phantom(path, array=None, *, spacing=(1.0, 1.0, 1.0), **geometry):
    array = smooth_array((16, 18, 14), 1.0) if array is None else array
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_volume(Volume(array, VolumeGeometry(array.shape[::-1], spacing, **geometry)), path)


def phantom_case():
    truth = np.random.default_rng(0).random((16, 18, 14), dtype=np.float32)
    return make_case("phantom", truth, (2.0, 2.0, 2.0), "point")


def logged(config, name):
    with (config.output / "log.csv").open(encoding="utf-8") as file:
        return {int(row["step"]): float(row["value"]) for row in csv.DictReader(file) if row["name"] == name}
