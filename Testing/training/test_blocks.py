"""Blocks of patches contain the fine voxels of the truth, and the matching acquisition."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from training.runs import losses_of, rough_grids, smooth_grids, tiny_config, trainer_of

from ArSSRLib.acquisition.profile import NOTHING
from ArSSRLib.errors import InputError
from ArSSRLib.interpolation import apply_matrices
from ArSSRLib.model.arssr3 import ArSSR3Config
from ArSSRLib.training.dataset import BatchSampler

TINY = ArSSR3Config(channels=8, blocks=1, feature_channels=8, decoder_layers=2)
TOLD = {"model": TINY, "block_voxels": 4000, "patch_size": 12, "margin": 2, "stated_share": 1.0, "noise_share": 0.0}
PLAIN = {"gamma_share": 0.0, "curve_share": 0.0, "augmentation": False}


def config_of(tmp_path, **changes):
    return tiny_config(tmp_path, **{**TOLD, **changes})


def batch_of(config, grids=None, step=3):
    return BatchSampler(grids or smooth_grids(), config).draw(step)


def test_a_block_has_at_most_the_requested_voxels_unless_its_box_is_the_shortest(tmp_path):
    for step in range(4):
        for block in batch_of(config_of(tmp_path), step=step).blocks:
            lengths = [rows.stop - rows.start for rows in block.box]
            voxels = [len(positions) for positions in block.positions]
            assert voxels[0] * voxels[1] * voxels[2] <= 1.2 * 4000 or max(lengths) == 8


def test_interpolating_the_patch_at_the_block_gives_the_truth_of_a_smooth_volume(tmp_path):
    shares = {"isotropic_share": 1.0, "thick_share": 0.0, "margin": 3}
    config = config_of(tmp_path, profile_weights=(1.0, 0.0, 0.0, 0.0), scale_range=(1.5, 2.0), **shares, **PLAIN)
    batch = batch_of(config, smooth_grids(sigma=6.0))

    for block, coarse, truth in zip(batch.blocks, batch.coarse, batch.truth, strict=True):
        fine = apply_matrices(coarse[0][block.box], block.up)
        torch.testing.assert_close(fine[block.inner].flatten(), truth, rtol=0, atol=5e-3)


@pytest.mark.parametrize("profile", range(4))
def test_acquiring_the_true_block_gives_the_patch_away_from_its_faces(tmp_path, profile):
    weights = tuple(float(n == profile) for n in range(4))
    config = config_of(tmp_path, profile_weights=weights, scale_range=(1.5, 2.5), **PLAIN)
    sampler = BatchSampler(smooth_grids(sigma=2.5), config)
    batch = sampler.draw(0)

    inner = (slice(3, -3),) * 3
    for block, coarse, truth in zip(batch.blocks, batch.coarse, whole_truths(sampler, config), strict=True):
        simulated = apply_matrices(truth, block.down)
        torch.testing.assert_close(simulated[inner], coarse[0][block.box][inner], rtol=0, atol=0.02)


def whole_truths(sampler, config):
    """Return all fine voxels of the blocks of step 0; without an inner margin, they are the truth of the batch."""
    whole = BatchSampler(sampler._grids, dataclasses.replace(config, margin=0)).draw(0)
    shapes = [[len(p) for p in block.positions] for block in whole.blocks]
    return [truth.view(shape) for truth, shape in zip(whole.truth, shapes, strict=True)]


def test_unknown_profiles_are_neither_given_to_the_network_nor_used_for_a_correction(tmp_path):
    batch = batch_of(config_of(tmp_path, stated_share=0.0))

    assert not batch.acquisition.any()
    assert not any(block.agrees for block in batch.blocks)


def test_shares_of_certainty_are_those_of_the_recipe(tmp_path):
    config = config_of(tmp_path, stated_share=0.5, estimated_share=0.25, batch_items=64)

    certainty = batch_of(config).acquisition[..., -1].flatten()

    for value, share in ((1.0, 0.5), (0.5, 0.25), (NOTHING, 0.25)):
        assert float((certainty == value).float().mean()) == pytest.approx(share, abs=0.2)


def test_steps_on_blocks_lower_the_loss(tmp_path):
    trainer = trainer_of(config_of(tmp_path, steps=1000, learning_rate=3e-3))
    batch = trainer.sampler.draw(0)

    losses = [float(trainer.train_step(batch)[0]) for _ in range(40)]

    assert losses[-1] < 0.97 * losses[0]


def test_the_strength_of_the_correction_learns(tmp_path):
    trainer = trainer_of(config_of(tmp_path, steps=1000))
    before = trainer.model.strength.bias.detach().clone()

    losses_of(trainer, 3)

    assert not torch.equal(trainer.model.strength.bias, before)


def test_a_resumed_run_on_blocks_continues_as_if_it_had_never_stopped(tmp_path):
    config = config_of(tmp_path)
    alone = trainer_of(config)
    expected = losses_of(alone, 4)
    first = trainer_of(config)
    losses_of(first, 2)
    config.output.mkdir()
    first.save()

    second = trainer_of(config)
    second.resume()

    assert losses_of(second, 2) == expected[2:]


def test_all_augmentations_draw_finite_batches(tmp_path):
    shares = {"gamma_share": 0.2, "curve_share": 0.2, "tissue_share": 0.6}
    more = {"smooth_share": 1.0, "offset_share": 1.0, "own_profile_share": 1.0, "kspace_range": (1.0, 2.0)}

    batch = batch_of(config_of(tmp_path, **shares, **more, batch_items=8), rough_grids())

    assert all(torch.isfinite(truth).all() for truth in batch.truth)


def test_blocks_are_refused_for_a_network_that_does_not_agree(tmp_path):
    with pytest.raises(InputError, match="block_voxels = 4000 is not valid; expected 0 for a network of kind arssr2"):
        tiny_config(tmp_path, block_voxels=4000)
