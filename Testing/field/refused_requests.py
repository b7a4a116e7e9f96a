"""Creates the requests that the other commands and the worker refuse; the messages are on the page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import odd_files
import torch
from field import refused_recipes
from field.refused_makers import Cases, Make, all_of, asked, changed, file, not_finite, shorter, tiny, whole_numbers
from field.refused_volumes import Case, good, noise, text, written
from safetensors.torch import save_file

from ArSSRLib.options import UpsamplingOptions

_OTHERS = '{"BIDSVersion": "1.10.0", "GeneratedBy": [{"Name": "fMRIPrep"}]}'
_HOSTILE = b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R."
JOB = {
    "format": 1, "task": "upsample", "model": "arssr2", "volumes": [], "scale": [2, 2, 2], "region": None,
    **asdict(UpsamplingOptions()),
}  # fmt: skip
# --- BIDS


def data_set(folder: Path) -> None:
    root = folder / "raw"
    (root / "sub-01" / "anat").mkdir(parents=True)
    text(root, "dataset_description.json", '{"Name": "a", "BIDSVersion": "1.10.0"}')
    odd_files.nifti(root / "sub-01" / "anat" / "sub-01_T1w.nii.gz", noise().T)


def bids(*more: str, output: str = "{}/out", before: Make = data_set, level: str = "participant") -> Case:
    scale = () if "--isotropic" in more or level == "group" else ("--scale", "2")
    return asked("bids", "{}/raw", output, level, *scale, "--skip-bids-validation", *more, before=before)


def filters(content: str) -> Case:
    return bids("--bids-filter-file", "{}/filter.json", before=all_of(data_set, file("filter.json", content)))


# --- The worker


def job(content: object = None, **changes: object) -> Case:
    """Return a case with a job file."""

    def case(folder: Path) -> list[str]:
        good(folder)
        table = {**JOB, "volumes": [{"input": str(folder / "good.nii.gz"), "output": str(folder / "o.nrrd")}]}
        table |= {name: _inside(value, folder) for name, value in changes.items()}
        words = content if isinstance(content, str) else json.dumps(table)
        return ["worker", str(text(folder, "job.json", words))]

    return case


def _inside(value: object, folder: Path) -> object:
    return json.loads(json.dumps(value).replace("{}", str(folder)))


def volume_of(source: str, output: str) -> list[dict[str, str]]:
    return [{"input": source, "output": output}]


def record(content: str) -> Case:
    return asked("reproduce", "{}/good.nii.gz", before=all_of(good, file("good.nii.gz.arssr.json", content)))


MODELS: Cases = {
    "a model without a name": asked("models", "show"),
    "a list of one model": asked("models", "list", "arssr2"),
    "an unknown model": asked("models", "show", "none"),
    "a name without an import": asked("models", "verify", "arssr2", "--as", "mine"),
    "a bundled model to remove": asked("models", "remove", "arssr2"),
    "weights that do not exist": asked("models", "import", "{}/none.safetensors"),
    "a folder as weights": asked("models", "import", "{}"),
    "empty weights": asked("models", "import", "{}/w.safetensors", before=file("w.safetensors")),
    "a text file as weights": asked("models", "import", "{}/w.pkl", before=file("w.pkl", "some text")),
    "damaged weights": asked("models", "import", "{}/w.safetensors", before=file("w.safetensors", "x" * 100)),
    "weights of another program": asked(
        "models", "import", "{}/w.safetensors",
        before=lambda folder: save_file({"a": torch.zeros(2)}, folder / "w.safetensors")),
    "weights of a newer format": asked(
        "models", "import", "{}/w.safetensors", before=changed(dict, arssr_format="9")),
    "weights of an unknown network": asked(
        "models", "import", "{}/w.safetensors", before=changed(dict, arssr_config='{"kind": "arssr9"}')),
    "weights with a shape of another network": asked("models", "import", "{}/w.safetensors", before=changed(shorter)),
    "weights that contain NaN": asked("models", "import", "{}/w.safetensors", before=changed(not_finite)),
    "integer weights": asked("models", "import", "{}/w.safetensors", before=changed(whole_numbers)),
    "a pickle that would run code": asked(
        "models", "import", "{}/w.pkl", before=lambda folder: written(folder / "w.pkl", _HOSTILE)),
    "a pickle of something else": asked(
        "models", "import", "{}/w.pkl", before=lambda folder: torch.save({"a": 1}, folder / "w.pkl")),
    "a model name with a slash": asked("models", "import", "{}/tiny.safetensors", "--as", "a/b", before=tiny()),
    "a device name as model name": asked("models", "import", "{}/tiny.safetensors", "--as", "nul", before=tiny()),
    "a model name that exists": asked("models", "import", "{}/tiny.safetensors", "--as", "arssr2", before=tiny()),
    "a file as models folder": asked(
        "models", "import", "{}/tiny.safetensors", before=all_of(tiny(), file("models", "text"))),
    "weights already in the ArSSR format": asked(
        "convert-checkpoint", "{}/tiny.safetensors", "{}/b.safetensors", before=tiny()),
    "converted weights that exist": asked(
        "convert-checkpoint", "{}/w.pkl", "{}/tiny.safetensors", before=all_of(tiny(), file("w.pkl", "text"))),
}  # fmt: skip
BIDS: Cases = {
    "a data set that does not exist": bids(before=lambda _folder: None),
    "a folder that is not a data set": bids(before=lambda folder: (folder / "raw").mkdir()),
    "a damaged description": bids(before=all_of(data_set, file("raw/dataset_description.json", "{"))),
    "a description without a version": bids(before=all_of(data_set, file("raw/dataset_description.json", "{}"))),
    "no resolution": asked("bids", "{}/raw", "{}/out", "participant", before=data_set),
    "the data set as output": bids(output="{}/raw"),
    "an output in the data set": bids(output="{}/raw/results"),
    "results of another program as output": bids(before=all_of(
        data_set, file("out/dataset_description.json", _OTHERS))),
    "a participant that does not exist": bids("--participant-label", "02"),
    "a session that does not exist": bids("--session-label", "01"),
    "a suffix without scans": bids("--suffix", "PDw"),
    "filters that are not JSON": filters("{"),
    "filters without queries": filters("[]"),
    "filters of an unknown entity": filters('{"t1w": {"task": "rest"}}'),
    "the group level first": bids(level="group"),
    "an impossible share": bids("--shard", "5/3"),
    "no processes": bids("--jobs", "0"),
    "processes beyond the memory": bids("--jobs", "2", "--memory-limit", "0.001"),
    "a setting of a cluster without one": bids("--cluster-option", "queue=long"),
    "a setting without a value": bids("--cluster", "slurm", "--cluster-option", "queue"),
    "a scheduler and processes": bids("--scheduler", "localhost:1", "--jobs", "2"),
    "uncertainty without mirror images": bids("--uncertainty"),
}  # fmt: skip
REPORT: Cases = {
    "results that do not exist": asked("report", "{}/out"),
    "a folder without results": asked("report", "{}/out", before=lambda folder: (folder / "out").mkdir()),
    "a source of a folder of results": asked(
        "report", "{}/out", "--source", "{}/good.nii.gz", before=all_of(
            good, file("out/dataset_description.json", '{"GeneratedBy": [{"Name": "ArSSR"}]}'))),
}  # fmt: skip
REPRODUCE: Cases = {
    "a folder to reproduce": asked("reproduce", "{}"),
    "a result without a record": asked("reproduce", "{}/good.nii.gz", before=good),
    "a record that is not JSON": record("{"),
    "a record of another format": record('{"format": 9}'),
    "a record without keys": record('{"format": 2}'),
}
WORKER: Cases = {
    "no job": asked("worker"),
    "a job that does not exist": asked("worker", "{}/job.json"),
    "a job that is not JSON": job("{"),
    "a job that is a list": job("[]"),
    "a job of another version": job(format=9),
    "a job for something else": job(task="dream"),
    "a job with an unknown key": job(colour=1),
    "a job without volumes": job(volumes=[]),
    "a job without a model": job(model=""),
    "a job with a number in words": job(scale="two"),
    "a job with an infinite number": job('{"format": Infinity}'),
    "an option that does not exist": job(quality="superb"),
    "an input of a job that does not exist": job(volumes=volume_of("{}/none.nrrd", "{}/o.nrrd")),
    "an input of a job as its output": job(volumes=volume_of("{}/good.nii.gz", "{}/good.nii.gz")),
    "a region beyond the volume": job(region=[[0, 99], [0, 1], [0, 1]]),
}
GROUPS: Sequence[tuple[str, Cases]] = (
    ("arssr models and arssr convert-checkpoint", MODELS),
    ("arssr bids", BIDS),
    ("arssr report", REPORT),
    ("arssr reproduce", REPRODUCE),
    ("arssr evaluate", refused_recipes.EVALUATE),
    ("arssr train", refused_recipes.TRAIN),
    ("The worker behind the panel", WORKER),
)
