"""The tables for the kernels agree with the layers and the grid that they were made from."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import leaky_relu

from ArSSRLib.coordinates import whole_grid
from ArSSRLib.kernels.tables import axis_tables, pack_published, pack_residual, padded
from ArSSRLib.model.decoder import Decoder


@pytest.mark.parametrize(("count", "extent"), [(1, 16), (16, 16), (17, 32), (64, 64), (131, 256)])
def test_matrices_are_padded_to_powers_of_two_for_tensor_cores(count, extent):
    assert padded(count) == extent


def test_the_tables_contain_the_axes_in_order():
    tables = axis_tables(whole_grid((2, 3, 4), (4, 3, 8)), (2, 3, 4), torch.device("cpu"), padding="border")

    assert tables.shape == (4, 3, 8)
    assert tables.index[:4].tolist() == [[0, 0], [0, 1], [0, 1], [1, 1]]
    assert tables.weight[1:3].flatten().tolist() == pytest.approx([0.75, 0.25, 0.25, 0.75])
    assert tables.query[:4].tolist() == pytest.approx([-0.75, -0.25, 0.25, 0.75])
    assert tables.weight.sum(1).tolist() == pytest.approx([1.0] * 15)


def test_zero_padding_fades_in_the_outermost_half_voxel():
    tables = axis_tables(whole_grid((2, 1, 1), (4, 1, 1)), (2, 1, 1), torch.device("cpu"), padding="zeros")

    assert tables.weight[:4].sum(1).tolist() == pytest.approx([0.75, 1.0, 1.0, 0.75])


def test_the_packed_published_decoder_agrees_with_its_layers():
    torch.manual_seed(0)
    channels, width, inputs, units = 5, 20, 16, 32
    decoder = Decoder(channels + 3, 3, width)
    layers = pack_published(decoder, channels, torch.float32)
    points = torch.randn(7, channels + 3)

    def take(buffer: list[torch.Tensor], *shape: int) -> torch.Tensor:
        """Read the next part of a buffer."""
        count = torch.Size(shape).numel()
        part, buffer[0] = buffer[0][:count], buffer[0][count:]
        return part.view(shape)

    matrices, vectors = [layers.matrices], [layers.vectors]
    features, coordinates = torch.zeros(7, inputs), points[:, channels:]
    features[:, :channels] = points[:, :channels]
    ends, hidden = [], []
    for stage in range(2):
        if stage == 1:
            skip = layers.matrices[-units * inputs :].view(units, inputs), layers.vectors[-inputs:]
            features = features + torch.relu(hidden[0] @ skip[0] + skip[1])
            coordinates = coordinates + ends[0][:, :3]
        first, rows = take(matrices, inputs, units), take(vectors, 4, units)
        x = torch.relu(features @ first + coordinates @ rows[:3] + rows[3])
        x = torch.relu(x @ take(matrices, units, units) + take(vectors, units))
        hidden.append(x)
        ends.append(torch.relu(x @ take(matrices, units, 16) + take(vectors, 16)))

    assert layers.hidden == 1
    assert matrices[0].numel() == units * inputs
    assert vectors[0].numel() == inputs
    torch.testing.assert_close(ends[1][:, 0], decoder(points).detach())


def test_the_packed_decoder_of_arssr2_agrees_with_its_layers():
    torch.manual_seed(0)
    hidden, output = [torch.nn.Linear(20, 20)], torch.nn.Linear(20, 1)
    layers = pack_residual(hidden, output, torch.float32)
    x = torch.randn(7, 20)
    wider = torch.nn.functional.pad(x, (0, 12))

    wider = leaky_relu(wider @ layers.matrices.view(32, 32) + layers.vectors[:32], 0.1)

    expected = output(leaky_relu(hidden[0](x), 0.1))[:, 0]
    torch.testing.assert_close(wider @ layers.vectors[32:64] + layers.vectors[64], expected)
