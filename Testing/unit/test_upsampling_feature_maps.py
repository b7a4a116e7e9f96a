"""Feature maps of boxes: equal for each order of the axes, and kept for the next requests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ArSSRLib.acquisition.profile import AxisProfile, SliceProfile, told_of
from ArSSRLib.convolution import slabs
from ArSSRLib.coordinates import shrunk
from ArSSRLib.model.arssr2 import ArSSR2
from ArSSRLib.model.interface import Conditioning
from ArSSRLib.model.registry import build_model, model_config_from_dict
from ArSSRLib.upsampling.feature_maps import FeatureCache, FeatureMap, encoded

SHAPE = (17, 18, 19)
THIN = {0: (slice(7, 11), slice(2, 16), slice(1, 18)), 1: (slice(1, 16), slice(6, 9), slice(0, 19))}
THIN[2] = (slice(0, 17), slice(2, 15), slice(9, 13))
GAUSSIAN = AxisProfile("gaussian", 1.0, "DICOM")
TOLD = Conditioning.between(SHAPE, (17, 36, 57), told_of(SliceProfile((GAUSSIAN, GAUSSIAN, GAUSSIAN))))


@pytest.fixture(scope="module", params=["arssr2", "arssr3"])
def network(request):
    """A network whose kernels differ along each axis."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        small = {"kind": request.param, "channels": 16, "blocks": 2, "feature_channels": 16}
        model = build_model(model_config_from_dict(small)).eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.02 if parameter.ndim == 1 else (1 / parameter[0].numel()) ** 0.5)
    return model


@torch.inference_mode()
@pytest.mark.parametrize("halo", [None, 2])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_thin_box_is_encoded_along_its_thinnest_axis_with_the_same_result(network, axis, halo, monkeypatch):
    volume = torch.rand(1, 1, *SHAPE, generator=torch.Generator().manual_seed(6))
    expected = network.encode_box(volume, THIN[axis], TOLD, halo=halo)
    boxes, encode = [], ArSSR2.encode_box

    def noted(self, volume, box, *arguments, **options):
        boxes.append([s.stop - s.start for s in box])
        return encode(self, volume, box, *arguments, **options)

    monkeypatch.setattr(ArSSR2, "encode_box", noted)

    found = encoded(network, volume, THIN[axis], TOLD, lambda _: None, halo=halo)

    assert boxes[0][0] == min(boxes[0])
    assert found.permute(0, 2, 3, 4, 1).is_contiguous()
    inside = (..., *_valid(THIN[axis]))
    torch.testing.assert_close(found[inside], expected[inside], atol=1e-4, rtol=1e-4, check_stride=False)


@torch.inference_mode()
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mask_skips_voxels_and_changes_no_feature_that_is_needed(network, axis, monkeypatch):
    volume = torch.rand(1, 1, *SHAPE, generator=torch.Generator().manual_seed(6))
    box = (slice(1, 16), slice(2, 17), slice(3, 18))
    # An oblique plane that contains lines along the axis, and whose distance from the corners is large.
    k, j = np.mgrid[:15, :15]
    needed = np.repeat(np.isin(k - j, (-1, 0))[..., None], 15, axis=2)
    needed[[0, -1]] = needed[:, [0, -1]] = needed[:, :, [0, -1]] = False
    needed = np.moveaxis(needed, 2, axis)
    rows, steps = [], slabs.convolve_sums

    def noted(kernel, work, count):
        rows.append(count * kernel.scheme.made)
        return steps(kernel, work, count)

    monkeypatch.setattr(slabs, "convolve_sums", noted)
    expected = encoded(network, volume, box, TOLD, lambda _: None, halo=None)
    everything = sum(rows)
    rows.clear()

    found = encoded(network, volume, box, TOLD, lambda _: None, halo=None, needed=needed)

    torch.testing.assert_close(found[0][:, needed], expected[0][:, needed], atol=1e-4, rtol=1e-4)
    assert sum(rows) < 0.9 * everything
    assert not found[0, :-1, 1, 13].any() or axis != 2


def _valid(box):
    """Return the features of a box that are valid, relative to it."""
    inner = shrunk(box, 1, SHAPE)
    return tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(inner, box, strict=True))


def a_map(start, *, exact=False, size=4):
    box = (slice(start, start + size), slice(0, 4), slice(0, 4))
    return FeatureMap(box, torch.zeros(1, 2, size, 4, 4), (2.0, 2.0, 2.0), exact)


def test_an_exact_feature_map_is_preferred_and_a_quick_one_never_taken_for_exact():
    cache, wanted = FeatureCache(10**6), (slice(1, 3), slice(0, 4), slice(0, 4))
    quick, exact = a_map(0), a_map(0, exact=True, size=6)
    cache.keep(quick)

    assert cache.found(wanted, quick.scale, exact=False) is quick
    assert cache.found(wanted, quick.scale, exact=True) is None
    cache.keep(exact)
    cache.keep(quick)
    assert cache.found(wanted, quick.scale, exact=False) is exact
    assert cache.found((slice(1, 9), *wanted[1:]), quick.scale, exact=False) is None
    assert cache.found(wanted, (2.0, 2.0, 3.0), exact=False) is None


def test_only_the_valid_voxels_of_a_feature_map_are_taken():
    valid = np.zeros((6, 4, 4), dtype=bool)
    valid[2:5, 1] = True
    cache, box = FeatureCache(10**6), (slice(1, 5), slice(0, 4), slice(0, 4))
    cache.keep(replace(a_map(0, size=6), valid=valid))

    def served(needed):
        return cache.found(box, (2.0, 2.0, 2.0), exact=False, needed=needed) is not None

    needed = np.zeros((4, 4, 4), dtype=bool)
    needed[1:4, 1] = True
    assert served(needed)
    needed[0, 1, 2] = True
    assert not served(needed)
    assert not served(None)


def test_the_least_recently_used_feature_map_is_discarded_first():
    first, second, third = a_map(0), a_map(10), a_map(20)
    cache = FeatureCache(2 * first.bytes)
    for used in (first, second, first, third):
        cache.keep(used)

    assert cache.kept == (first, third)
    assert cache.bytes == 2 * first.bytes


def test_the_last_feature_map_is_kept_whatever_its_size():
    cache = FeatureCache(1)
    cache.keep(a_map(0))
    cache.keep(large := a_map(10))

    assert cache.kept == (large,)
