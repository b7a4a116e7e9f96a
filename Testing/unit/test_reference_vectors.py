"""Compatibility with the authors' checkpoints, entry by entry of the golden vectors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ArSSRLib.checkpoint import load_model
from ArSSRLib.coordinates import whole_grid

FOLDER = Path(__file__).parents[1] / "reference"
LAYOUT = json.loads((FOLDER / "layout.json").read_text(encoding="utf-8"))
# Relative to the larger of 1 and the largest value of an entry.
TOLERANCE = 1e-5


def seeded_weights(encoder):
    """Create the weights as layout.json specifies."""
    rng = np.random.default_rng(LAYOUT["seed"])
    state = {}
    for key, shape in LAYOUT["encoders"][encoder]["keys"]:
        weights = rng.standard_normal(shape, dtype=np.float32)
        weights *= np.float32(np.sqrt(1 / np.prod(shape[1:]))) if len(shape) > 1 else np.float32(0.05)
        state[key] = torch.from_numpy(weights)
    return state


@pytest.fixture(scope="module", params=LAYOUT["encoders"])
def case(request, tmp_path_factory):
    """Model from a file as the authors save it, its feature map, and the vectors without their prefix."""
    path = tmp_path_factory.mktemp("authors") / "model_param.pkl"
    torch.save(seeded_weights(request.param), path)
    model = load_model(path)
    prefix = f"{request.param}__"
    with np.load(FOLDER / "vectors.npz") as file:
        vectors = {key.removeprefix(prefix): torch.from_numpy(file[key]) for key in file if key.startswith(prefix)}
    with torch.no_grad():
        feature_map = model.encode_lean(vectors["lr"][None, None])
    return model, feature_map, vectors


def check(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE * max(1.0, expected.abs().max().item()))


def test_the_keys_have_the_names_and_the_order_of_the_authors(case):
    model, _, _ = case
    encoder = {"SRResNet": "SRResnet"}.get(model.config.encoder, model.config.encoder)

    found = [[key, list(tensor.shape)] for key, tensor in model.state_dict().items()]

    assert found == LAYOUT["encoders"][encoder]["keys"]


def test_the_feature_map_agrees(case):
    _, feature_map, vectors = case

    check(feature_map.mean(dim=1)[0], vectors["feature_map_mean_over_channels"])


def test_the_feature_map_agrees_while_gradients_are_recorded(case):
    model, _, vectors = case

    feature_map = model.encode(vectors["lr"][None, None]).detach()

    check(feature_map.mean(dim=1)[0], vectors["feature_map_mean_over_channels"])


@pytest.mark.parametrize("scale", ["2.0", "2.5", "3.3"])
def test_the_whole_grid_agrees(case, scale):
    model, feature_map, vectors = case
    expected = vectors[f"hr_x{scale}"]
    assert expected.shape == tuple(int(n * float(scale)) for n in vectors["lr"].shape)

    found = model.query_grid(feature_map, whole_grid(tuple(vectors["lr"].shape), tuple(expected.shape)))

    check(found, expected)


@pytest.mark.parametrize("scale", ["2.0", "2.5", "3.3"])
def test_the_points_of_the_grid_agree(case, scale):
    model, feature_map, vectors = case
    expected = vectors[f"hr_x{scale}"]
    axes = whole_grid(tuple(vectors["lr"].shape), tuple(expected.shape)).query
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).float().view(1, -1, 3)

    with torch.no_grad():
        found = model.query(feature_map, points).view(expected.shape)

    check(found, expected)


def test_scattered_points_agree(case):
    model, feature_map, vectors = case

    with torch.no_grad():
        found = model.query(feature_map, vectors["query_xyz"][None])[0]

    check(found, vectors["query_value"])
