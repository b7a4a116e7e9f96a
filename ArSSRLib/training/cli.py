"""The ``arssr train`` command: trains a model from a recipe."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from ArSSRLib.checkpoint import load_model
from ArSSRLib.errors import InputError
from ArSSRLib.io.sources import Source
from ArSSRLib.model.registry import kinds
from ArSSRLib.training.checkpoints import LAST
from ArSSRLib.training.config import TrainingConfig
from ArSSRLib.training.dataset import BatchSampler, load_training_volumes
from ArSSRLib.training.loop import Trainer, hash_of_volumes
from ArSSRLib.training.packing import ground_truth, packed_sources
from ArSSRLib.training.preparation import Preparation, TrainingVolume
from ArSSRLib.training.processes import Processes, joined_processes
from ArSSRLib.training.recipe import read_recipe
from ArSSRLib.training.sources import refuse_shared_subjects, refuse_shared_voxels
from ArSSRLib.training.validation import Case, make_case, settings_for
from ArSSRLib.training.whole_batches import WholeBatchSampler

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``arssr train`` to its parser."""
    parser.add_argument("recipe", type=Path, help="TOML recipe; examples are in ArSSRLib/training/recipes")
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint in the output folder")
    init = "start from the weights and architecture of a model, given by name or file"
    parser.add_argument("--init", metavar="MODEL", help=init)
    change = "override a value of the recipe; can be repeated"
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help=change)
    device = "device to train on: auto, cpu, cuda, cuda:N or mps (default: %(default)s)"
    parser.add_argument("--device", default="auto", help=device)
    parser.add_argument("--no-progress", action="store_true", help="do not show a progress bar")


def run(args: argparse.Namespace) -> int:
    """Train a model.

    Returns:
        0 if the run reached its last step; 130 or 143 if it was interrupted or terminated and its state was saved.

    Raises:
        ArSSRError: If the recipe, the data or the checkpoint cannot be used, or the loss is not a number.
    """
    with joined_processes(args.device) as processes:
        trainer = make_trainer(args, processes)
        if args.resume:
            trainer.resume()
        stopped = trainer.fit(progress=not args.no_progress)
    if processes.leads:
        best = f", {trainer.best:+.2f} dB over the floor at best" if trainer.cases else ""
        print(f"{trainer.config.output}: {trainer.step} of {trainer.config.steps} steps{best}")
        if stopped:
            print("The run was stopped and saved; continue it with --resume.")
    return 128 + stopped if stopped else 0


def make_trainer(args: argparse.Namespace, processes: Processes) -> Trainer:
    """Read the recipe, the initial weights and the volumes; every invalid input is refused here.

    Raises:
        ArSSRError: If any of them cannot be used.
    """
    initial = load_model(args.init) if args.init else None
    config = read_recipe(args.recipe, args.overrides, model=initial.config if initial else None)
    initial = kinds()[config.model.kind][1].adopting(initial, config.model) if initial else None
    if not args.resume and (config.output / LAST).exists():
        msg = f"{config.output} already contains a run; continue it with --resume, or specify another output folder."
        raise InputError(msg)
    training = packed_sources(config.training_data, "train")
    validation = packed_sources(config.validation_data, "val") if config.validation_data else []
    refuse_shared_subjects(training, validation)
    if not processes.leads:  # the leading process prepares the volumes for all
        processes.wait()
    grids = load_training_volumes(training, config)
    if processes.leads:
        processes.wait()
    cases = validation_cases(config, validation, grids[0])
    kind = WholeBatchSampler if config.scale_groups else BatchSampler
    sampler = kind(grids, config, device=processes.device, rank=processes.rank, world=processes.world)
    data = hash_of_volumes([volume.voxel_hash for volume in grids[0]])
    return Trainer(config, sampler, cases, processes=processes, initial=initial, data=data)


def validation_cases(
    config: TrainingConfig, sources: Sequence[Source], training: Sequence[TrainingVolume]
) -> list[Case]:
    """Return every validation volume in every setting, on the coarsest target grid.

    Raises:
        InputError: If a volume cannot be read, or has the voxels of a training volume.
    """
    known = {volume.voxel_hash: volume.subject for volume in training}
    preparation = Preparation(config.crop_and_pad, config.normalization, max(config.target_spacings))
    chosen = sources[:: config.validation_stride]
    cases = []
    for source in chosen:
        truth, voxel_hash = ground_truth(source.path, preparation)
        refuse_shared_voxels(known, {voxel_hash: source.path.name})
        cases += [
            make_case(source.path.name, truth.array, scale, profile) for scale, profile in settings_for(config.model)
        ]
    logger.info("%d validation cases from %d volumes on %d threads", len(cases), len(chosen), torch.get_num_threads())
    return cases
