"""Creates the recipes and protocols that `arssr train` and `arssr evaluate` refuse; the messages are on the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import odd_files
from field.refused_makers import Cases, Make, all_of, asked, file, tiny
from field.refused_volumes import Case, text

RECIPE = """training_data = "train"
validation_data = "val"
output = "run"
steps = 2
patch_size = 8
warm_up_steps = 0
[model]
kind = "arssr2"
channels = 4
feature_channels = 8
blocks = 1
"""
PROTOCOL = """title = "A comparison"
subjects = "train"
output = "tables"
scales = [2]
metrics = ["psnr"]
[[methods]]
name = "cubic"
kind = "cubic"
"""


def volumes(name: str, *, size: int = 12, edit: Callable[[np.ndarray], object] = lambda _array: None) -> Make:
    """Return a function that creates a folder with a volume."""

    def make(folder: Path) -> None:
        (folder / name).mkdir()
        array = np.random.default_rng(len(name)).uniform(1, 900, (size,) * 3).astype(np.float32)
        edit(array)
        odd_files.nifti(folder / name / f"sub-{name}_T1w.nii.gz", array)

    return make


def train(recipe: str = RECIPE, *more: str, before: Make = lambda _folder: None) -> Case:
    """Return a case with a recipe whose paths are in the folder."""

    def case(folder: Path) -> list[str]:
        before(folder)
        content = recipe
        for name in ("train", "val", "run"):
            content = content.replace(f'"{name}', f'"{folder}/{name}')
        text(folder, "recipe.toml", content)
        given = [argument.replace("{}", str(folder)) for argument in more]
        return ["train", str(folder / "recipe.toml"), "--no-progress", "--device", "cpu", *given]

    return case


def evaluate(protocol: str = PROTOCOL, *more: str, before: Make = lambda _folder: None) -> Case:
    def case(folder: Path) -> list[str]:
        before(folder)
        content = protocol.replace('"train', f'"{folder}/train').replace('"tables', f'"{folder}/tables')
        text(folder, "protocol.toml", content)
        return ["evaluate", str(folder / "protocol.toml"), "--no-progress", "--device", "cpu", *more]

    return case


def listed(content: str, *, before: Make = lambda _folder: None) -> Case:
    """Return a case with a recipe whose training data are a CSV file."""
    return train(RECIPE.replace('"train"', '"train.csv"'), before=all_of(before, file("train.csv", content)))


def both(folder: Path) -> None:
    volumes("train")(folder)
    (folder / "val").mkdir()
    (folder / "val" / "sub-copy_T1w.nii.gz").write_bytes((folder / "train" / "sub-train_T1w.nii.gz").read_bytes())


def without(key: str, table: str) -> str:
    return "".join(line for line in table.splitlines(keepends=True) if not line.startswith(key))


def swapped(key: str, value: str, table: str = RECIPE) -> str:
    return f"{key} = {value}\n{without(key, table)}"


EVALUATE: Cases = {
    "no protocol": asked("evaluate"),
    "a protocol that does not exist": asked("evaluate", "{}/none.toml"),
    "a protocol that is not TOML": evaluate("a = "),
    "an unknown key of a protocol": evaluate('subject = "a"\n' + PROTOCOL),
    "a protocol without a key": evaluate(without("output", PROTOCOL)),
    "a value of another type": evaluate(swapped("scales", "2", PROTOCOL)),
    "a scale of a protocol below 1": evaluate(swapped("scales", "[0.5]", PROTOCOL)),
    "an unknown metric": evaluate(swapped("metrics", '["beauty"]', PROTOCOL)),
    "an unknown method": evaluate(PROTOCOL.replace('kind = "cubic"', 'kind = "magic"')),
    "two methods with the same name": evaluate(PROTOCOL + PROTOCOL[PROTOCOL.index("[[") :]),
    "an override without a value": evaluate(PROTOCOL, "--set", "scales"),
    "an override of a key inside a value": evaluate(PROTOCOL, "--set", "scales.a=1"),
    "no volumes to compare on": evaluate(before=lambda folder: (folder / "train").mkdir()),
    "no parallel processes": evaluate(PROTOCOL, "--jobs", "0"),
    "curves without a run": asked("evaluate", "--curves", "{}/a.png"),
    "curves in another picture format": asked("evaluate", "--curves", "{}/run", "{}/a.jpg"),
    "curves of a folder that is not a run": asked("evaluate", "--curves", "{}", "{}/a.png"),
}
TRAIN: Cases = {
    "a recipe that does not exist": asked("train", "{}/none.toml"),
    "a recipe that is not TOML": train("steps = "),
    "an unknown key of a recipe": train("stepz = 3\n" + RECIPE),
    "a recipe without a key": train(without("output", RECIPE)),
    "a recipe without a network": train(RECIPE.partition("[model]")[0]),
    "a number in words": train(swapped("steps", '"many"')),
    "no steps": train(swapped("steps", "0")),
    "scales in the wrong order": train("scale_range = [4, 2]\n" + RECIPE),
    "an unknown loss": train('loss = "l3"\n' + RECIPE),
    "an unknown network": train(RECIPE.replace("arssr2", "arssr9")),
    "a network with an unknown key": train(RECIPE + "depth = 3\n"),
    "a network that is too large": train(RECIPE.replace("blocks = 1", "blocks = 1000")),
    "an override that is not one": train(RECIPE, "--set", "steps"),
    "another network for given weights": train(
        RECIPE, "--init", "{}/tiny.safetensors", "--set", "model.channels=8", before=tiny()),
    "another kind of network for given weights": train(
        RECIPE, "--init", "{}/tiny.safetensors", "--set", "model.kind=arssr", before=tiny()),
    "training data that do not exist": train(),
    "training data without volumes": train(before=lambda folder: (folder / "train").mkdir()),
    "a list without its columns": listed("file,part\na,train\n"),
    "a list with an unknown split": listed("path,split\na.nii,training\n"),
    "a list without a path": listed("path,split\n,train\n"),
    "a list of files that do not exist": listed("path,split\na.nii,train\n"),
    "a subject in both splits": train(before=all_of(volumes("train"), lambda folder: (folder / "train").rename(
        folder / "val"), volumes("train"))),
    "volumes smaller than a patch": train(before=all_of(volumes("train", size=5), volumes("val")), recipe=swapped(
        "patch_size", "10")),
    "volumes with infinite voxels": train(before=all_of(
        volumes("train", edit=lambda array: array[:2].fill(np.nan)), volumes("val"))),
    "empty volumes": train(before=all_of(volumes("train", edit=lambda array: array.fill(0)), volumes("val"))),
    "the same volume in both splits": train(before=both),
    "an output folder that contains a run": train(before=all_of(
        volumes("train"), volumes("val"), file("run/last.pt", "x"), file("run/log.csv", "step\n"))),
    "a run to resume that does not exist": train(RECIPE, "--resume", before=all_of(volumes("train"), volumes("val"))),
    "a damaged run to resume": train(RECIPE, "--resume", before=all_of(
        volumes("train"), volumes("val"), file("run/last.pt", "x"))),
    "a training device that is not available": train(
        RECIPE, "--device", "cuda:7", before=all_of(volumes("train"), volumes("val"))),
}  # fmt: skip
