"""A batch built at once equals one built patch by patch, without synchronization with the device."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from training.runs import CPU, rough_grids, smooth_grids, tiny_config

from ArSSRLib.errors import InputError
from ArSSRLib.model.arssr3 import ArSSR3Config
from ArSSRLib.model.interface import Conditioning
from ArSSRLib.model.registry import build_model
from ArSSRLib.training.blocks import AgreeingBlocks
from ArSSRLib.training.cli import WholeBatchSampler
from ArSSRLib.training.cutting import Stack, draw_crops
from ArSSRLib.training.drawing import _replicated_crop
from ArSSRLib.training.losses import cubic_at
from ArSSRLib.training.preparation import STORED_ONE
from ArSSRLib.training.simulation import as_told, draw_certainty, draw_profiles
from ArSSRLib.training.synthesis import tissue_curves

PLAIN = {
    "profile_weights": (1.0, 0.0, 0.0, 0.0),
    "noise_share": 0.0,
    "gamma_share": 0.0,
    "curve_share": 0.0,
    "augmentation": False,
}


@pytest.fixture
def config(tmp_path):
    return tiny_config(tmp_path, batch_items=12, scale_groups=3, patch_size=8, points=150)


def sampler_of(config, grids=None, **options) -> WholeBatchSampler:
    return WholeBatchSampler(grids or rough_grids((40, 44, 42)), config, **options)


def fields(batch) -> dict[str, torch.Tensor]:
    return {name: value for name, value in vars(batch).items() if isinstance(value, torch.Tensor)}


def test_a_batch_follows_from_seed_step_and_process(config):
    first, again = sampler_of(config), sampler_of(config)
    again.draw(3)

    for name, value in fields(first.draw(7)).items():
        torch.testing.assert_close(fields(again.draw(7))[name], value, rtol=0, atol=0)
    others = [again.draw(8), sampler_of(config, rank=1, world=2).draw(7)]
    assert not any(torch.equal(other.coarse, first.draw(7).coarse) for other in others)
    assert torch.equal(sampler_of(config, rank=0, world=2).of_rank(1).draw(7).coarse, others[1].coarse)


def test_every_group_has_its_own_scales_and_its_patches_share_them(config):
    batch = sampler_of(config).draw(0)

    assert batch.coarse.shape == (12, 1, 8, 8, 8)
    assert batch.truth.shape == batch.coordinates.shape[:2] == (12, 150)
    groups = batch.scale.view(3, 4, 3)
    assert torch.equal(groups, groups[:, :1].expand_as(groups))
    assert len({tuple(group[0].tolist()) for group in groups}) == 3
    assert len({float(patch.sum()) for patch in batch.coarse}) == 12


@pytest.mark.parametrize("augmentation", [False, True])
def test_crops_are_those_that_are_cut_patch_by_patch(config, augmentation):
    """Compares with the crop of a volume in each of 48 orientations; crops are inside and partly beyond its faces."""
    config = dataclasses.replace(config, augmentation=augmentation)
    grids = rough_grids((17, 20, 23))
    generator = torch.Generator().manual_seed(1)
    scale, margins = [2.0, 1.0, 1.5], [4, 0, 3]

    stack = Stack.of(grids, 0, CPU)
    crops, starts, lengths = draw_crops(stack, scale, margins, count=20, config=config, generator=generator)

    for number in range(20):
        turned = [
            _replicated_crop(
                grids[0][0].stored.permute(order),
                starts[number].tolist(),
                [16, 8, 12],
                margins=margins,
                flips=list(flips),
            )
            / STORED_ONE
            for order in (itertools.permutations(range(3)) if augmentation else [(0, 1, 2)])
            for flips in (itertools.product((False, True), repeat=3) if augmentation else [(False,) * 3])
            if list(grids[0][0].stored.permute(order).shape) == lengths[number].tolist()
        ]
        assert any(torch.equal(crop, crops[number]) for crop in turned)


def test_the_volumes_of_a_grid_are_all_drawn_from(config):
    (one,), (two,) = rough_grids((20, 22, 21)), rough_grids((24, 20, 26))
    other = dataclasses.replace(two[0], stored=two[0].stored // 2 - 30000)
    stack = Stack.of([[one[0], other]], 0, CPU)

    options = {"count": 40, "config": config, "generator": torch.Generator().manual_seed(1)}
    crops, _, lengths = draw_crops(stack, [1.0] * 3, [0] * 3, **options)

    from_other = crops.mean((1, 2, 3)) < 0
    assert 8 < int(from_other.sum()) < 32
    assert torch.equal(lengths.sum(1) == 70, from_other)


def test_query_points_lie_where_their_truth_is(config):
    """On a smooth, point-sampled volume, cubic interpolation equals the truth at every point, also in the volume."""
    config = dataclasses.replace(config, **PLAIN, margin=2)
    batch = sampler_of(config, smooth_grids((60, 62, 64), sigma=6.0)).draw(0)

    assert float((cubic_at(batch) - batch.truth).abs().max()) < 0.01
    assert float(batch.truth.std()) > 0.05


def test_without_a_profile_an_axis_of_scale_1_keeps_its_samples(config):
    config = dataclasses.replace(config, **PLAIN, isotropic_share=1.0, thick_share=0.0, scale_range=(1.0, 1.0))
    batch = sampler_of(config).draw(0)
    index = ((batch.coordinates + 1) * 4 - 0.5).round().long().unbind(-1)

    found = torch.stack([batch.coarse[n, 0][index[0][n], index[1][n], index[2][n]] for n in range(12)])
    torch.testing.assert_close(found, batch.truth, rtol=0, atol=2e-5)


def test_blur_noise_and_slice_gains_are_as_frequent_as_requested(config):
    noisy = dataclasses.replace(config, **{**PLAIN, "noise_share": 1.0}, noise_maximum=0.3)
    blurred = dataclasses.replace(config, **{**PLAIN, "profile_weights": (0.0, 1.0, 0.0, 0.0)}, nominal_share=1.0)
    uneven = dataclasses.replace(
        config, **PLAIN, jitter_share=1.0, jitter_maximum=0.3, isotropic_share=0.0, thick_share=1.0
    )
    plain = sampler_of(dataclasses.replace(config, **PLAIN)).draw(0).coarse

    for changed in (noisy, blurred):
        coarse = sampler_of(changed).draw(0).coarse
        assert (coarse - plain).abs().mean((1, 2, 3, 4)).min() > 1e-4
    bands = (
        sampler_of(uneven).draw(0).coarse / sampler_of(dataclasses.replace(uneven, jitter_maximum=0.0)).draw(0).coarse
    )
    for ratio in bands[:, 0]:  # it changes along one axis only
        spread = sorted(float(ratio.mean([a for a in range(3) if a != axis]).std()) for axis in range(3))
        assert spread[2] > 1e-3
        assert spread[1] < 1e-3


def test_profiles_and_what_is_told_of_them_come_as_often_as_asked(config):
    config = dataclasses.replace(
        config, profile_weights=(0.1, 0.2, 0.3, 0.4), stated_share=0.5, estimated_share=0.3, own_profile_share=0.25
    )
    generator = torch.Generator().manual_seed(0)

    certainty = draw_certainty(config, 20000, generator)
    kinds, widths = draw_profiles(config, certainty, generator)
    told = as_told(widths, certainty, generator)

    shares = [float((kinds[:, 0] == kind).double().mean()) for kind in range(4)]
    assert shares == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=0.015)
    assert [float((certainty[:, 0] == c).double().mean()) for c in (1.0, 0.5, 0.0)] == pytest.approx(
        [0.5, 0.3, 0.2], abs=0.015
    )
    assert float((widths[:, 0] != widths[:, 1]).double().mean()) < 0.25
    assert torch.equal(told != widths, certainty == 0.5)
    low, high = config.thickness_range
    assert float(widths[kinds < 3].min()) >= low
    assert float(widths[kinds < 3].max()) <= high


def test_profiles_that_nobody_tells_have_weights_of_their_own_and_the_nominal_thickness(config):
    config = dataclasses.replace(
        config, stated_share=0.4, estimated_share=0.3, nominal_share=0.0, unknown_profile_weights=(0.25, 0.75, 0.0, 0.0)
    )
    generator = torch.Generator().manual_seed(0)
    certainty = draw_certainty(config, 20000, generator)

    kinds, widths = draw_profiles(config, certainty, generator)

    unknown = certainty == 0
    assert set(kinds[unknown].tolist()) == {0.0, 1.0}
    assert float(kinds[unknown].mean()) == pytest.approx(0.75, abs=0.02)
    assert set(widths[unknown].tolist()) == {1.0}
    assert float((widths[~unknown] == 1).double().mean()) < 0.01
    assert float(kinds[~unknown].max()) == 3


def test_contrasts_stay_in_the_range_of_those_made_patch_by_patch(config):
    shares = {"gamma_share": 0.3, "curve_share": 0.2, "tissue_share": 0.3, "bias_share": 0.5, "smooth_share": 0.3}
    config = dataclasses.replace(config, **shares, offset_share=0.3, gain_range=(0.5, 1.4))
    sampler = sampler_of(config)
    ramp = torch.linspace(0, 1, 9).expand(400, 9, 9, 9)
    sampler._points.manual_seed(0)
    sampler._host.manual_seed(0)

    changed = sampler._changed(ramp, sampler._curves(400))

    assert torch.isfinite(changed).all()
    assert float(changed.min()) >= -0.2
    assert float(changed.max()) < 1.2 * 1.4 * 1.5**3 + 0.3
    assert len({round(float(patch.mean()), 4) for patch in changed}) > 300


def test_tissue_curves_are_of_four_kinds_as_often_as_they_should():
    heights = tissue_curves(torch.rand(4000, 8, generator=torch.Generator().manual_seed(0)))

    assert heights.shape == (4000, 7)
    bright_fluid = float((heights[:, 1] > heights[:, 4] + 0.3).double().mean())
    inverted = float((heights[:, 0] > 0.5).double().mean())
    assert bright_fluid > 0.4
    assert inverted == pytest.approx(0.1, abs=0.02)


class NoWaiting(TorchDispatchMode):
    """Refuses operations that make the host wait for a device: reading a value, or a shape that depends on values."""

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        name = function.overloadpacket._qualified_op_name
        assert not any(word in name for word in ("_local_scalar_dense", "nonzero", "masked_select", "unique")), name
        return function(*arguments, **(options or {}))


def test_nothing_that_is_drawn_on_the_device_is_waited_for(config, monkeypatch):
    """The host draws its random numbers beforehand; after that, nothing may read a value."""
    sampler = sampler_of(dataclasses.replace(config, jitter_share=1.0, bias_share=1.0, tissue_share=0.2))
    stack, scale, margins = sampler._stacks[0], [2.5, 2.5, 2.5], [10, 10, 10]
    monkeypatch.setattr("ArSSRLib.training.whole_batches.uniform", lambda generator: 1.0)

    with NoWaiting():
        crops, *_ = draw_crops(stack, scale, margins, count=4, config=sampler._config, generator=sampler._points)
        certainty = torch.full((4, 3), 0.5)
        profiles = draw_profiles(sampler._config, certainty, sampler._points)
        coarse = sampler._acquired(sampler._changed(crops, sampler._curves(4)), scale, margins, profiles)
        told = as_told(profiles[1], certainty, sampler._points)
        index = sampler._index(scale, 4)
    with pytest.raises(AssertionError, match="_local_scalar_dense"), NoWaiting():
        float(coarse.sum() + told.sum() + index.sum())


def test_blocks_contain_the_truth_and_agree_with_the_scan_if_the_profile_is_known(config):
    """On a smooth, point-sampled volume, cubic interpolation of the patch equals the truth of the block."""
    config = dataclasses.replace(
        config, **PLAIN, margin=2, model=ArSSR3Config(), block_voxels=4000, stated_share=0.6, own_profile_share=0.0
    )
    batch = sampler_of(config, smooth_grids((60, 62, 64), sigma=6.0)).draw(0)

    assert len(batch.blocks) == len(batch.truth) == 12
    assert {block.agrees for block in batch.blocks} == {True, False}
    for block, told, truth, cubic in zip(batch.blocks, batch.acquisition, batch.truth, cubic_at(batch), strict=True):
        assert block.agrees == bool((told[:, -1] > 0).all())
        assert float((cubic - truth).abs().max()) < 0.01
        torch.testing.assert_close(block.down[0].sum(1), torch.ones(len(block.down[0])))


def test_blocks_at_one_position_are_predicted_together_as_one_by_one(config):
    options = {"channels": 8, "blocks": 1, "feature_channels": 8}
    config = dataclasses.replace(config, model=ArSSR3Config(**options), block_voxels=3000, stated_share=0.6)
    batch = sampler_of(config).draw(0)
    torch.manual_seed(0)
    model = build_model(config.model)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    alone = [dataclasses.replace(block, positions=tuple(p.clone() for p in block.positions)) for block in batch.blocks]
    found = []
    for blocks in (batch.blocks, alone):
        model.zero_grad()
        answers = AgreeingBlocks(model)(batch.coarse, Conditioning(batch.scale, batch.acquisition), blocks)
        sum(answer.square().mean() for answer in answers).backward()
        found.append([*answers, *(p.grad for p in model.parameters() if p.grad is not None)])

    for at_once, one_by_one in zip(*found, strict=True):
        torch.testing.assert_close(at_once, one_by_one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["self_supervised", "fixed_patches"])
def test_options_that_need_single_patches_are_refused(config, name):
    config = dataclasses.replace(config, **{name: 1})

    with pytest.raises(InputError, match=rf"The recipe's {name} = .* set scale_groups to 0"):
        sampler_of(config)


def test_groups_divide_the_batch(config):
    with pytest.raises(InputError, match="scale_groups = 5 is not valid; expected a divisor of batch_items"):
        dataclasses.replace(config, scale_groups=5)
