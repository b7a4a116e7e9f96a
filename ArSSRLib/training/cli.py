"""arssr train: a recipe in, weights out."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch

from ArSSRLib.device import resolve_device
from ArSSRLib.errors import InputError
from ArSSRLib.io import find_volumes
from ArSSRLib.training.config import TrainingConfig, read_recipe
from ArSSRLib.training.dataset import BatchSampler, load_normalized, load_training_volumes, resample_isotropic
from ArSSRLib.training.loop import LAST, Trainer
from ArSSRLib.training.validation import SETTINGS, Case, make_case

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``arssr train`` to its parser."""
    parser.add_argument("recipe", type=Path, help="TOML file; see ArSSRLib/training/recipes")
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint in the output folder")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help="change a value of the recipe"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--no-progress", action="store_true", help="show no progress bar")


def run(args: argparse.Namespace) -> int:
    """Train as the arguments say.

    Returns:
        0 when the run reached its last step or was asked to stop and saved its state.

    Raises:
        ArSSRError: If the recipe, the data or the checkpoint cannot be used.
    """
    config = read_recipe(args.recipe, args.overrides)
    device = resolve_device(args.device)
    if not args.resume and (config.output / LAST).exists():
        msg = f"{config.output} holds a run already; continue it with --resume, or name another folder as output."
        raise InputError(msg)
    refuse_shared_subjects(config)
    grids = load_training_volumes(config.training_data, config.target_spacings, config.patch_size)
    cases = validation_cases(config)
    trainer = Trainer(config, BatchSampler(grids, config), cases, device)
    if args.resume:
        trainer.resume()
    trainer.fit(progress=not args.no_progress)
    print(f"{config.output}: {trainer.step} of {config.steps} steps, {trainer.best:+.2f} dB over the floor at best")
    return 0


def refuse_shared_subjects(config: TrainingConfig) -> None:
    """Refuse to validate on what is trained on.

    Raises:
        InputError: If a file name stands in both folders.
    """
    shared = {path.name for path in find_volumes(config.training_data)} & {
        path.name for path in find_volumes(config.validation_data)
    }
    if shared:
        msg = f"{', '.join(sorted(shared))} is in both the training and the validation folder; keep it in one of them."
        raise InputError(msg)


def validation_cases(config: TrainingConfig) -> list[Case]:
    """Return every validation volume, on the isotropic target grid, in every setting."""
    spacing = max(config.target_spacings)
    chosen = find_volumes(config.validation_data)[:: max(1, config.validation_stride)]
    cases = []
    for path in chosen:
        truth = resample_isotropic(load_normalized(path), spacing).array
        cases += [make_case(path.name, truth, scale, profile) for scale, profile in SETTINGS]
    logger.info("%d validation cases from %d volumes on %d threads", len(cases), len(chosen), torch.get_num_threads())
    return cases
