"""The published encoders: number of parameters, receptive field, and the same result with and without gradients."""

from __future__ import annotations

import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ArSSRLib.convolution.slabs import unobserved
from ArSSRLib.model.encoders import ENCODERS

# Wu et al. 2023: the parameters of each encoder, and its receptive field to each side in voxels.
PUBLISHED = {"RDN": (5_918_784, 28), "ResCNN": (2_214_912, 20), "SRResNet": (4_317_376, 39)}


class PeakMemory(TorchDispatchMode):
    """Counts the bytes of all existing tensors that operations have created."""

    def __init__(self):
        super().__init__()
        self.peak, self.alive = 0, weakref.WeakValueDictionary()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.alive[id(result)] = result
        storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in self.alive.values()}
        self.peak = max(self.peak, sum(storages.values()))
        return result


@pytest.fixture(scope="module", params=PUBLISHED)
def encoder(request):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return ENCODERS[request.param](128)


def name_of(encoder):
    return type(encoder).__name__


def test_an_encoder_has_the_number_of_parameters_of_the_paper(encoder):
    assert sum(p.numel() for p in encoder.parameters()) == PUBLISHED[name_of(encoder)][0]


def test_an_encoder_states_the_receptive_radius_of_the_paper(encoder):
    assert encoder.receptive_radius == PUBLISHED[name_of(encoder)][1]


@pytest.mark.parametrize("axis", [0, 2])
def test_a_feature_depends_on_exactly_the_stated_receptive_radius(encoder, axis):
    radius = encoder.receptive_radius
    middle = radius + 2
    shape = [2, 2, 2]
    shape[axis] = 2 * middle + 1
    volume = torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(2), requires_grad=True)

    # With different signs of the channels, because then gradients can cancel, which is a stricter test.
    feature = encoder(volume).movedim(axis + 2, 0)[middle]
    gradient = torch.autograd.grad((feature * torch.randn_like(feature)).sum(), volume)[0]

    seen = gradient.movedim(axis + 2, 0).flatten(1).abs().amax(1).nonzero().flatten()
    assert (seen.min().item(), seen.max().item()) == (middle - radius, middle + radius)


def test_the_lean_path_agrees_with_the_training_path(encoder):
    volume = torch.rand(1, 1, 5, 7, 6, generator=torch.Generator().manual_seed(3))

    trained = encoder(volume).detach()
    with torch.no_grad():
        lean = encoder.lean(volume, unobserved)

    torch.testing.assert_close(lean, trained, atol=1e-5, rtol=1e-5)


def test_the_peak_memory_is_at_most_what_the_encoder_states_and_close_to_it(encoder):
    peaks = []
    for depth in (4, 12):
        with torch.no_grad(), PeakMemory() as memory:
            encoder.lean(torch.rand(1, 1, depth, 6, 6), unobserved)
        peaks.append(memory.peak)

    # The memory of a slab is the same for both.
    channels = (peaks[1] - peaks[0]) / (4 * 8 * 6 * 6)
    assert 0.9 * encoder.live_channels < channels <= encoder.live_channels


def test_the_lean_path_does_not_change_the_volume(encoder):
    volume = torch.rand(1, 1, 4, 4, 4)
    before = volume.clone()

    with torch.no_grad():
        encoder.lean(volume, unobserved)

    assert torch.equal(volume, before)


def test_every_parameter_has_a_gradient(encoder):
    encoder(torch.rand(1, 1, 4, 4, 4)).square().sum().backward()

    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())
