"""Compare the results of two revisions bit by bit, on the CPU.

    python Testing/benchmarks/compare_revisions.py OLD_REVISION

Every bundled model, and small networks of every published kind with seeded weights, upsample a few phantoms: at several
scales, whole and in tiles, a region, and made isotropic; and they compute planes of the live preview. The same is done
in a work tree of the old revision, with the same interpreter and packages; the checksums of the results are compared.
The exit code is 0 if all are identical, otherwise 1, with a list of the differences.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
# Size along i, j, k, and spacing in mm.
PHANTOMS = {"cubic": ((14, 13, 12), (1.0, 1.0, 1.0)), "thick": ((13, 12, 5), (0.9, 0.9, 3.6))}
SCALES = {"2": 2.0, "1.37": 1.37, "1.5 1 3": (1.5, 1.0, 3.0)}
# Small networks: the class of the configuration, if a revision has it, and its values.
NETWORKS = {
    "published RDN": ("ArSSRConfig", {"encoder": "RDN", "feature_channels": 16, "decoder_width": 32}),
    "published ResCNN": ("ArSSRConfig", {"encoder": "ResCNN", "feature_channels": 16, "decoder_width": 32}),
    "published SRResNet": ("ArSSRConfig", {"encoder": "SRResNet", "feature_channels": 16, "decoder_width": 32}),
    "arssr2": ("ArSSR2Config", {"channels": 24, "blocks": 3, "feature_channels": 20, "decoder_layers": 3}),
    "srcnn3d": ("FixedScaleConfig", {"kind": "srcnn3d", "scale": 2.0}),
    "dcsrn": ("FixedScaleConfig", {"kind": "dcsrn", "scale": 2.0}),
    "rescnn": ("FixedScaleConfig", {"kind": "rescnn", "scale": 2.0}),
}
ROOMS = ("config", "arssr", "arssr2", "fixed_scale", "registry")


def engine(name: str) -> Any:
    """Return an object of either revision by its name, wherever it is defined."""
    for room in ROOMS:
        with contextlib.suppress(ImportError, AttributeError):
            return getattr(import_module(f"ArSSRLib.model.{room}"), name)
    msg = f"This revision has no {name}."
    raise SystemExit(msg)


def networks() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield the name of every network and its constructor: the bundled ones, then small ones with seeded weights."""
    checkpoint = import_module("ArSSRLib.checkpoint")
    for entry in checkpoint.registry():
        if entry.path.is_file():
            yield entry.name, lambda entry=entry: checkpoint.load_model(entry.name)
    for name, (config, values) in NETWORKS.items():
        yield name, lambda config=config, values=values: seeded(engine(config)(**values))


def seeded(config: Any) -> Any:
    """Return a network with seeded weights, none of which is zero."""
    import torch  # noqa: PLC0415 - the comparing process needs none

    torch.manual_seed(20260)
    model = engine("build_model")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            # Not the initialization of the network itself, which may differ between revisions.
            parameter.normal_(std=0.02 if parameter.ndim == 1 else (2 / parameter[0].numel()) ** 0.5)
            if parameter.numel() == 1:  # of the last layer, whose rectifier would otherwise return zero
                parameter.fill_(0.5)
    return model


def phantom(size: tuple[int, int, int], spacing: tuple[float, float, float]) -> Any:
    """Return nonnegative intensities of an ellipsoid with noise; half of the background is exactly 0; float32."""
    volume = import_module("ArSSRLib.volume").Volume
    geometry = import_module("ArSSRLib.geometry").VolumeGeometry(size, spacing)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in size[::-1]), indexing="ij")
    inside = sum(axis**2 for axis in axes) < 0.8
    noise = np.random.default_rng(7).normal(0, 30, inside.shape)
    return volume(np.maximum(800 * inside + noise, 0).astype(np.float32), geometry)


def ask(name: str, volume: Any, model: Any, scale: Any, **how: Any) -> Any:
    """Call `upsample` or `plan_upsampling` for the CPU in single precision, with the arguments of either revision."""
    function = getattr(import_module("ArSSRLib.upsampling"), name)
    chosen = {"device": "cpu", "precision": "fp32", "memory_limit": how.pop("memory_limit", None)}
    with contextlib.suppress(ImportError):
        options = import_module("ArSSRLib.options").UpsamplingOptions(**chosen)
        return function(volume, model, scale, options, **how)
    if name == "plan_upsampling":
        chosen = {"device": import_module("torch").device("cpu"), "memory_limit": chosen["memory_limit"]}
    return function(volume, model, scale, **chosen, **how)


def upsampled(volume: Any, model: Any, scale: Any, **how: Any) -> np.ndarray:
    """Return the result of a network for a volume."""
    return np.asarray(ask("upsample", volume, model, scale, **how).array)


def jobs(model: Any) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    """Yield the name and the function of every job of a network."""
    volumes = {name: phantom(*grid) for name, grid in PHANTOMS.items()}
    fixed = hasattr(model, "network")
    for label, scale in SCALES.items():
        if not fixed or label == "2":
            for name, volume in volumes.items():
                yield f"{name}, scale {label}", lambda volume=volume, scale=scale: upsampled(volume, model, scale)
    box = ((3, 17), (0, 11), (5, 14))
    yield "region", lambda: upsampled(volumes["cubic"], model, 2.0, region=box)
    if not fixed:
        yield "isotropic", lambda: upsampled(volumes["thick"], model, (1.0, 1.0, 4.0))
    yield "in tiles", lambda: in_tiles(model)
    if getattr(model, "answers_locally", False):
        yield "preview", lambda: previewed(volumes["cubic"], model)


def previewed(volume: Any, model: Any) -> np.ndarray:
    """Return planes of the live preview, straight and oblique, and how many voxels were encoded for each."""
    upsampling, room = import_module("ArSSRLib.upsampling"), import_module("ArSSRLib.upsampling.lens")
    options = import_module("ArSSRLib.options").UpsamplingOptions(device="cpu", precision="fp32")
    lens, found = room.Lens(volume, model, upsampling.decided(options)), []
    for turn in (0.0, 0.5):
        row_step = (0.0, 0.5 * np.cos(turn), 0.5 * np.sin(turn))
        for height, exact in ((5.0, False), (5.5, False), (5.5, True), (6.0, True), (2.0, False)):
            plane = room.Plane((0.0, 1.0, height), (0.5, 0.0, 0.0), row_step, (24, 18))
            answer = lens.answer(plane, (2.0, 2.0, 2.0), exact=exact)
            found += [np.nan_to_num(answer.plane, nan=-1.0).ravel(), np.array([answer.encoded], np.float32)]
            if exact:
                lens.prepare(plane, (2.0, 2.0, 2.0))
    return np.concatenate(found)


def in_tiles(model: Any) -> np.ndarray:
    """Upsample a long volume in several tiles, each of about half of it."""
    length = 4 * model.halo + 16
    volume = phantom((8, 8, length), (1.0, 1.0, 1.0))
    rooms = import_module("ArSSRLib.upsampling")
    with mock.patch.multiple(rooms, used_memory=lambda _: 0, free_memory=lambda _: 10**12):
        whole = ask("plan_upsampling", volume, model, 2.0)
        limit = (whole.memory - 8 * 8 * (length // 3) * model.bytes_per_coarse_voxel) / 1e9
        if len(ask("plan_upsampling", volume, model, 2.0, memory_limit=limit).tiles) < 2:
            msg = "The limit leaves room for the whole volume."
            raise SystemExit(msg)
        return upsampled(volume, model, 2.0, memory_limit=limit)


def checksums(only: list[str]) -> dict[str, str]:
    """Return the SHA-256 of every result of the imported revision."""
    import torch  # noqa: PLC0415 - the comparing process needs none

    torch.set_num_threads(1)
    found = {}
    for name, make in networks():
        if only and name not in only:
            continue
        model = make()
        for job, work in jobs(model):
            try:
                result = work()
                if result.min() == result.max():
                    sys.exit(f"{name}: {job}: the result is constant, which shows nothing.")
                found[f"{name}: {job}"] = hashlib.sha256(result.tobytes()).hexdigest()
            except Exception as error:  # a refusal of one revision must be a refusal of the other
                found[f"{name}: {job}"] = f"{type(error).__name__}: {error}"
    return found


def checksums_of(tree: Path, only: list[str]) -> dict[str, str]:
    """Return the checksums of the revision in a work tree, computed in a separate process."""
    command = [sys.executable, str(Path(__file__).resolve()), "--here", *only]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tree, env=environment, check=False)
    if done.returncode:
        sys.exit(f"The revision in {tree} failed:\n{done.stderr}")
    table: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return table


@contextlib.contextmanager
def work_tree(revision: str) -> Iterator[Path]:
    """Check a revision out beside this one, and remove it afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "old"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(tree), revision], cwd=ROOT, check=True)
        try:
            yield tree
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=True)


def main() -> int:
    """Compare two revisions; return the exit code."""
    parser = argparse.ArgumentParser(description="Compare the results of two revisions bit by bit, on the CPU.")
    parser.add_argument("revision", nargs="?", help="revision to compare with, as git names it")
    parser.add_argument("--only", action="append", default=[], metavar="MODEL", help="compare these models only")
    parser.add_argument("--here", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here is not None:
        print(json.dumps(checksums(arguments.here)))
        return 0
    if arguments.revision is None:
        parser.error("name the revision to compare with")
    new = checksums_of(ROOT, arguments.only)
    with work_tree(arguments.revision) as tree:
        old = checksums_of(tree, arguments.only)
    # A model that only one revision has is not a difference.
    both = [job for job in new if job in old]
    different = [job for job in both if new[job] != old[job]]
    for job in both:
        print(f"{'DIFFERENT' if job in different else 'identical'}  {job}  {new[job][:60]}")
    print(f"{len(both) - len(different)} of {len(both)} results are bit-identical with {arguments.revision}.")
    return 1 if different or not both else 0


if __name__ == "__main__":
    sys.exit(main())
