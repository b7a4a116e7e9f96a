"""Batches: they simulate the same acquisition as the evaluation."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage
from training.runs import TINY_PUBLISHED, rough_grids, smooth_grids, tiny_config

from ArSSRLib.acquisition.batch import GAUSSIAN
from ArSSRLib.acquisition.profile import NOTHING
from ArSSRLib.coordinates import index_of
from ArSSRLib.errors import InputError
from ArSSRLib.interpolation import spline_at_points, spline_coefficients
from ArSSRLib.training.dataset import BatchSampler
from ArSSRLib.training.drawing import check_thick_slices, draw_item, slice_axis_of
from ArSSRLib.training.preparation import STORED_ONE, TrainingVolume
from ArSSRLib.training.simulation import draw_certainty, draw_profiles, draw_slice_gains

PLAIN = {"degradation": "cubic", "gamma_share": 0.0, "curve_share": 0.0}


@pytest.fixture
def config(tmp_path):
    return tiny_config(tmp_path, batch_items=5, patch_size=8, margin=2, points=300)


def cubic_error(batch):
    """Return the mean error of the spline through the coarse patches, relative to the contrast of the truth."""
    n = batch.coarse.shape[-1]
    positions = [index_of(batch.coordinates[..., axis], n) for axis in range(3)]
    cubic = spline_at_points(spline_coefficients(batch.coarse[:, 0]), positions)
    contrast = (batch.truth - batch.truth.mean(1, keepdim=True)).abs().mean()
    return float((cubic - batch.truth).abs().mean() / contrast)


def test_the_same_seed_and_step_draw_the_same_batch(config):
    one, two = BatchSampler(smooth_grids(), config), BatchSampler(smooth_grids(), config)
    two.draw(0)
    for step in (3, 4, 3):
        torch.testing.assert_close(vars(one.draw(step)), vars(two.draw(step)), rtol=0, atol=0)


def test_another_step_or_seed_draws_another_batch(config):
    batches = [
        BatchSampler(smooth_grids(), dataclasses.replace(config, seed=seed)).draw(step)
        for seed, step in ((0, 0), (0, 1), (1, 0))
    ]
    assert len({float(batch.truth.sum()) for batch in batches}) == 3


def test_two_processes_draw_the_same_batch_as_one(config):
    # Noise and points included; the patches of one batch are padded to a common size, which changes rounding only.
    config = dataclasses.replace(config, batch_items=2, noise_share=0.5)
    alone = BatchSampler(smooth_grids(), dataclasses.replace(config, batch_items=4)).draw(7)

    parts = [BatchSampler(smooth_grids(), config, rank=rank, world=2).draw(7) for rank in (0, 1)]

    for name, whole in vars(alone).items():
        if name == "blocks":  # this recipe samples points
            continue
        torch.testing.assert_close(torch.cat([vars(part)[name] for part in parts]), whole, rtol=0, atol=1e-5)


def test_a_sampler_can_draw_for_another_process(config):
    sampler = BatchSampler(smooth_grids(), config, rank=0, world=3)
    expected = BatchSampler(smooth_grids(), config, rank=2, world=3).draw(5)

    torch.testing.assert_close(vars(sampler.of_rank(2).draw(5)), vars(expected), rtol=0, atol=0)


def test_coarse_patches_and_query_points_show_the_same_anatomy(config):
    # On a smooth volume, the cubic spline through the coarse patch already equals the truth, but not if the patch were
    # shifted, flipped or scaled.
    plain = dataclasses.replace(config, **PLAIN, scale_range=(1.5, 3.0), thick_scale_range=(1.5, 3.0))
    sampler = BatchSampler(smooth_grids(), plain)

    assert max(cubic_error(sampler.draw(step)) for step in range(5)) < 0.02


def test_points_keep_away_from_the_border_of_the_patch(config):
    batch = BatchSampler(smooth_grids(), config).draw(0)

    assert batch.coordinates.abs().max() <= 1 - 2 * config.margin / config.patch_size


def test_a_patch_never_asks_for_more_field_of_view_than_the_volume_has(config):
    sampler = BatchSampler(smooth_grids((20, 48, 24)), dataclasses.replace(config, thick_share=0.45))
    for step in range(10):
        batch = sampler.draw(step)
        assert batch.scale.max() * config.patch_size <= 48
        assert torch.isfinite(batch.coarse).all()


def test_a_patch_shows_the_voxel_that_it_was_drawn_for(config):
    # The bright voxel is in the field of view for every orientation of the volume.
    stored = torch.zeros((40, 44, 48), dtype=torch.int16)
    stored[5, 9, 14] = STORED_ONE
    grids = [[TrainingVolume("mark", stored, torch.tensor([[5, 9, 14]]))]]
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        item = draw_item(grids, dataclasses.replace(config, **PLAIN), generator)
        inside = tuple(slice(m, n - m) for m, n in zip(item.margins, item.patch.shape, strict=True))
        assert item.patch[inside].max() > 0.7


def test_crops_reach_both_ends_of_the_volume(config):
    generator = torch.Generator().manual_seed(0)
    items = [draw_item(smooth_grids(), config, generator) for _ in range(120)]
    ends = [
        (start == 0, start + config.patch_size * s > length - 1)
        for item in items
        for start, s, length in zip(item.starts, item.scale, item.lengths, strict=True)
    ]

    assert np.any(ends, axis=0).all()


def test_without_augmentation_a_patch_is_a_piece_of_its_volume(config):
    plain = dataclasses.replace(config, augmentation=False)
    grids = rough_grids()
    item = draw_item(grids, plain, torch.Generator().manual_seed(3))
    inside = [slice(m, n - m) for m, n in zip(item.margins, item.patch.shape, strict=True)]

    expected = grids[0][0].stored[
        tuple(slice(s, s + i.stop - i.start) for s, i in zip(item.starts, inside, strict=True))
    ]
    torch.testing.assert_close(item.patch[tuple(inside)], expected.float() / STORED_ONE)


def test_every_flip_and_permutation_is_drawn(config):
    # A ramp along one axis: its direction in the patch shows the orientation of the volume.
    ramp = torch.arange(40, dtype=torch.int16)[:, None, None].expand(40, 40, 40) * 200 + 2000
    grids = [[TrainingVolume("ramp", ramp.contiguous(), torch.tensor([[20, 20, 20]]))]]
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(60):
        patch = draw_item(grids, dataclasses.replace(config, **PLAIN), generator).patch
        steps = [float(patch.diff(dim=axis).mean()) for axis in range(3)]
        axis = int(np.abs(steps).argmax())
        seen.add((axis, steps[axis] > 0))

    assert len(seen) == 6


# --- as published


@pytest.fixture
def published(tmp_path):
    return tiny_config(
        tmp_path,
        **PLAIN,
        model=TINY_PUBLISHED,
        coordinates="patch",
        augmentation=False,
        alignment="endpoints",
        patch_size=10,
        margin=0,
        isotropic_share=1.0,
        thick_share=0.0,
        whole_scale_share=0.0,
        scale_range=(2.0, 4.0),
    )


def test_endpoint_aligned_patches_are_those_of_scipy_zoom(published):
    grids = smooth_grids((50, 50, 50))
    sampler = BatchSampler(grids, published)
    for step in range(3):
        coarse = sampler.draw(step).coarse[0, 0].numpy()
        generator = torch.Generator().manual_seed(_seed(published, step))
        item = draw_item(grids, published, generator)
        inside = tuple(slice(m, n - m) for m, n in zip(item.margins, item.patch.shape, strict=True))
        fine = item.patch[inside].numpy()
        zoomed = ndimage.zoom(fine, np.divide(10, fine.shape), order=3, mode="mirror")

        # Ours also reads voxels around the patch, where zoom mirrors it; on a smooth phantom, the difference is small.
        assert fine.shape[0] == round(10 * item.scale[0])
        np.testing.assert_allclose(coarse, zoomed, atol=0.01 * np.ptp(fine))


def _seed(config, step):
    from ArSSRLib.training.dataset import seed_of  # noqa: PLC0415

    return seed_of(config.seed, step, 0)


def test_endpoint_alignment_shifts_the_anatomy_and_centers_do_not(published):
    # Between the outermost coarse centers, because the spline extrapolates beyond them.
    published, errors = dataclasses.replace(published, margin=1), {}
    for alignment in ("centered", "endpoints"):
        sampler = BatchSampler(smooth_grids(sigma=8.0), dataclasses.replace(published, alignment=alignment))
        errors[alignment] = np.mean([cubic_error(sampler.draw(step)) for step in range(3)])

    assert errors["centered"] < 0.02
    assert errors["endpoints"] > 3 * errors["centered"]


def test_the_published_patches_hold_whole_voxels(published):
    batch = BatchSampler(smooth_grids(), published).draw(0)

    torch.testing.assert_close(batch.scale * 10, (batch.scale * 10).round())
    assert batch.scale.min() >= 2
    assert batch.coordinates.abs().max() < 1


def test_degradation_is_only_cubic_sampling_if_the_recipe_says_so(published):
    # Profiles and noise are configured, but switched off by the key.
    noisy = dataclasses.replace(published, noise_share=1.0, profile_weights=(0.0, 1.0, 0.0, 0.0))
    cubic = BatchSampler(smooth_grids(), noisy).draw(0).coarse
    mixture = BatchSampler(smooth_grids(), dataclasses.replace(noisy, degradation="mixture")).draw(0).coarse

    torch.testing.assert_close(cubic, BatchSampler(smooth_grids(), published).draw(0).coarse, rtol=0, atol=0)
    assert (cubic - mixture).abs().mean() > 1e-3


def test_the_decoder_receives_the_position_in_the_volume_if_the_recipe_says_so(published):
    # On a volume whose intensity equals its first coordinate, the truth at a point is its coordinate.
    count = 48
    ramp = torch.from_numpy(np.rint((np.arange(count) + 0.5) / count * STORED_ONE).astype(np.int16))
    volume = TrainingVolume(
        "ramp", ramp[:, None, None].expand(count, count, count).contiguous(), torch.tensor([[24] * 3])
    )
    batches = {
        place: BatchSampler([[volume]], dataclasses.replace(published, coordinates=place)).draw(0)
        for place in ("patch", "volume")
    }

    for place, expected in (("patch", False), ("volume", True)):
        told = (batches[place].placed[..., 0] + 1) / 2
        assert torch.allclose(told, batches[place].truth, atol=1e-3) == expected
    torch.testing.assert_close(batches["patch"].placed, batches["patch"].coordinates)


# --- self-supervised


def thick_grids(shape=(12, 60, 64), spacing=(5.0, 1.0, 1.25)):
    return smooth_grids(shape, spacing=spacing)


def test_slices_are_simulated_along_in_plane_axes_with_the_ratio_of_the_spacings(config):
    config = dataclasses.replace(config, self_supervised=True, augmentation=False)
    scale = torch.cat([BatchSampler(thick_grids(), config).draw(step).scale for step in range(8)])

    ratio = 5 / np.sqrt(1.25)
    assert (scale[:, 0] == 1).all()
    torch.testing.assert_close(scale[:, 1:].amax(1), torch.full((40,), ratio))
    assert (scale[:, 1:].amin(1) == 1).all()
    assert {tuple(row.tolist()) for row in scale > 1} == {(False, True, False), (False, False, True)}


def test_a_simulated_slice_turns_with_the_volume(config):
    config = dataclasses.replace(config, **PLAIN, self_supervised=True)
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        item = draw_item(thick_grids(), config, generator)
        # The slice axis, the shortest, is never coarsened.
        assert item.scale[item.lengths.index(12)] == 1
        assert sorted(item.scale)[:2] == [1, 1]


def test_the_slice_axis_is_the_one_of_the_largest_spacing():
    volume = TrainingVolume("v", torch.zeros(2, 2, 2), torch.zeros(1, 3), (1.0, 4.0, 1.0))

    assert slice_axis_of(volume) == (1, 4.0)


@pytest.mark.parametrize(
    ("shape", "spacing", "reason"),
    [
        ((12, 60, 60), (1.2, 1.0, 1.0), "voxels of 1 x 1 x 1.2 mm; self_supervised needs slices"),
        ((12, 30, 60), (5.0, 1.0, 1.0), "is 30 voxels wide, but patches of 8 need 40"),
    ],
)
def test_a_volume_that_cannot_teach_itself_is_refused(shape, spacing, reason):
    volume = TrainingVolume("thick.nii.gz", torch.zeros(shape, dtype=torch.int16), torch.zeros(1, 3), spacing)

    with pytest.raises(InputError, match=f"thick.nii.gz.*{reason}"):
        check_thick_slices(volume, 8)


THICK = {"isotropic_share": 0.0, "thick_share": 1.0}


def test_slices_of_different_brightness_leave_the_truth_as_it_is(config):
    plain = dataclasses.replace(config, **PLAIN, **THICK)
    even = BatchSampler(smooth_grids(), plain).draw(0)
    uneven = BatchSampler(smooth_grids(), dataclasses.replace(plain, jitter_share=1.0, jitter_maximum=0.1)).draw(0)

    torch.testing.assert_close(uneven.truth, even.truth, rtol=0, atol=0)
    for item, scale in enumerate(even.scale):
        thick = int(scale.argmax())
        # One factor per slice, constant in the slice, and different between slices.
        factor = (uneven.coarse / even.coarse)[item, 0].movedim(thick, 0).flatten(1)
        assert float(factor.std(1).max()) < 1e-4
        assert 1e-4 < float(factor.mean(1).std()) < 0.3


def test_only_thick_slices_differ_in_brightness(config):
    draw = torch.Generator().manual_seed(0)
    certain = dataclasses.replace(config, jitter_share=1.0)

    assert draw_slice_gains(certain, [2.0, 2.0, 2.0], 1, draw) is None
    assert draw_slice_gains(certain, [1.0, 1.5, 2.0], 1, draw) is None
    assert draw_slice_gains(certain, [1.0, 4.0, 1.0], 1, draw).shape == (1, 1, config.patch_size, 1)


def test_as_many_items_have_uneven_slices_as_the_recipe_says(config):
    draw = torch.Generator().manual_seed(0)
    some = dataclasses.replace(config, jitter_share=0.3)
    gains = draw_slice_gains(some, [1.0, 1.0, 4.0], 2000, draw)
    count = int((gains != 1).flatten(1).any(1).sum())

    assert count / 2000 == pytest.approx(0.3, abs=0.04)


def test_brightness_varies_in_patch_and_truth_alike(config):
    plain = dataclasses.replace(config, **PLAIN)
    one = BatchSampler(smooth_grids(), plain).draw(0)
    other = BatchSampler(smooth_grids(), dataclasses.replace(plain, gain_range=(0.5, 2.0))).draw(0)

    gain = (other.truth / one.truth).median(1).values
    assert float(gain.min()) >= 0.5
    assert float(gain.max()) <= 2
    assert float(gain.std()) > 0.05
    torch.testing.assert_close(other.coarse, one.coarse * gain.view(-1, 1, 1, 1, 1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(other.truth, one.truth * gain[:, None], rtol=1e-4, atol=1e-5)


def test_profiles_that_nobody_tells_have_weights_of_their_own_and_the_nominal_thickness(config):
    likely = (0.0, 1.0, 0.0, 0.0)
    config = dataclasses.replace(config, stated_share=0.5, nominal_share=0.0, unknown_profile_weights=likely)
    generator = torch.Generator().manual_seed(0)

    certainties = draw_certainty(config, 300, generator)
    drawn = (*draw_profiles(config, certainties, generator), certainties)

    axes = list(zip(*(values.flatten().tolist() for values in drawn), strict=True))
    assert {(kind, width) for kind, width, certainty in axes if certainty == NOTHING} == {(GAUSSIAN, 1.0)}
    assert len({(kind, width) for kind, width, certainty in axes if certainty != NOTHING}) > 100
