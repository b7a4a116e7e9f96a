"""The job file: valid content is accepted, and everything else is refused by name in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from messages import one_line
from worker_events import upsample_job

from ArSSRLib.errors import InputError
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.worker import job as job_module
from ArSSRLib.worker.job import ProbeJob, StatedAxis, UpsampleJob, VolumeFiles, job_from_table, read_job

UPSAMPLE = upsample_job("arssr2", ("a.nrrd", "b.nrrd"))
PROBE = {"format": 1, "task": "probe", "models": ["arssr2"], "measure": False}


def test_a_job_has_the_values_of_its_file(tmp_path):
    content = UPSAMPLE | {
        "volumes": [{"input": "/in/Größe 1.nrrd", "output": "/out/脳.nrrd"}, {"input": "b", "output": "c"}],
        "scale": [1, 2.5, 4],
        "region": [[0, 5], [1, 6], [2, 7]],
        "memory_limit": 3,
    }
    (tmp_path / "job.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    assert read_job(tmp_path / "job.json") == UpsampleJob(
        model="arssr2",
        options=UpsamplingOptions(device="cpu", precision="fp32", memory_limit=3.0),
        scale=(1.0, 2.5, 4.0),
        region=((0, 5), (1, 6), (2, 7)),
        volumes=(
            VolumeFiles(Path("/in/Größe 1.nrrd"), Path("/out/脳.nrrd")),
            VolumeFiles(Path("b"), Path("c")),
        ),
    )


@pytest.mark.parametrize("models", [[], ["arssr2", "mine.safetensors"]])
def test_a_probe_may_list_any_number_of_models(models):
    assert job_from_table(PROBE | {"models": models}) == ProbeJob(tuple(models), measure=False)


@pytest.mark.parametrize("job", [UPSAMPLE, PROBE], ids=["upsample", "probe"])
def test_every_key_is_required_and_unknown_ones_are_refused(job):
    for key in job:
        with pytest.raises(InputError, match=key) as error:
            job_from_table({name: value for name, value in job.items() if name != key})
        assert one_line(error)
    with pytest.raises(InputError, match=r"unknown key colour; the keys are") as error:
        job_from_table(job | {"colour": 1})

    assert one_line(error)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", 2),
        ("format", True),
        ("format", "1"),
        ("format", None),
        ("task", "train"),
        ("task", ["upsample"]),
        ("model", ""),
        ("model", None),
        ("model", 3),
        ("device", 0),
        ("precision", ["fp32"]),
        ("memory_limit", "4"),
        ("memory_limit", True),
        ("memory_limit", float("inf")),
        ("scale", 2),
        ("scale", [2, 2]),
        ("scale", [2, 2, "2"]),
        ("scale", [2, 2, float("nan")]),
        ("scale", [2, 2, None]),
        ("scale", [2, 2, True]),
        ("scale", [2, 2, 10**400]),
        ("region", []),
        ("region", [[0, 1], [0, 1]]),
        ("region", [[0, 1], [0, 1], [0, 1, 2]]),
        ("region", [[0, 1], [0, 1], [0, 1.5]]),
        ("region", [[0, 1], [0, 1], [False, True]]),
        ("region", [[0, 1], [0, 1], "ab"]),
        ("volumes", []),
        ("volumes", {"input": "a", "output": "b"}),
        ("volumes", ["a"]),
    ],
    ids=repr,
)
def test_an_impossible_value_is_refused_with_its_key(key, value):
    with pytest.raises(InputError, match=key) as error:
        job_from_table(UPSAMPLE | {key: value})

    assert "must" in one_line(error)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("volume", "word"),
    [
        ({"input": "a"}, "output"),
        ({"input": "a", "output": "b", "frame": 1}, "frame"),
        ({"input": "", "output": "b"}, "input"),
        ({"input": "a", "output": None}, "output"),
        ({"input": "a\0b", "output": "c"}, "input"),
    ],
)
def test_a_volume_without_both_paths_is_refused(volume, word):
    with pytest.raises(InputError, match=word) as error:
        job_from_table(UPSAMPLE | {"volumes": [volume]})

    assert "must" in one_line(error) or "the keys are input, output" in one_line(error)


@pytest.mark.parametrize(("key", "value"), [("models", "arssr2"), ("models", [1]), ("measure", 1), ("measure", None)])
def test_a_probe_with_an_invalid_value_is_refused(key, value):
    with pytest.raises(InputError, match=key) as error:
        job_from_table(PROBE | {key: value})

    assert "must" in one_line(error)


@pytest.mark.parametrize("table", [None, 3, [], "job", [PROBE]])
def test_a_job_that_is_not_an_object_is_refused(table):
    with pytest.raises(InputError, match="an object with the keys") as error:
        job_from_table(table)

    assert one_line(error)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut"),
        pytest.param(b"\xff\xfe{}", id="not UTF-8"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b'{"format": 1, "scale": [NaN, 1, 1]}', id="NaN"),
        pytest.param(b'{"memory_limit": -Infinity}', id="infinity"),
        pytest.param(b'{"scale": ' + b"9" * 6000 + b"}", id="a number of thousands of digits"),
        pytest.param(b"\0" * 100, id="zeros"),
    ],
)
def test_a_file_that_is_not_a_job_is_refused_with_its_name(tmp_path, content):
    (tmp_path / "job.json").write_bytes(content)

    with pytest.raises(InputError, match=r"job\.json: ") as error:
        read_job(tmp_path / "job.json")

    assert one_line(error)
    assert len(str(error.value)) < 400 + len(str(tmp_path))


@pytest.mark.parametrize("name", ["missing.json", ".", "no\0name"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="cannot be read") as error:
        read_job(tmp_path / name)

    assert one_line(error)


def test_a_huge_file_is_refused_before_it_is_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr(job_module, "MAXIMUM_BYTES", 500)
    (tmp_path / "job.json").write_text(" " * 400 + json.dumps(PROBE))
    assert isinstance(read_job(tmp_path / "job.json"), ProbeJob)

    (tmp_path / "job.json").write_text(" " * 500 + json.dumps(PROBE))
    with pytest.raises(InputError, match="larger than") as error:
        read_job(tmp_path / "job.json")

    assert one_line(error)


def test_a_volume_may_have_a_slice_profile():
    profile = [None, None, {"kind": "gaussian", "width": 0.8, "source": "DICOM"}]

    job = job_from_table(UPSAMPLE | {"volumes": [{"input": "a", "output": "b", "profile": profile}]})

    assert job.volumes[0].profile == (None, None, StatedAxis("gaussian", 0.8, "DICOM"))


def test_an_impossible_profile_is_refused():
    with pytest.raises(InputError, match=r"profile = .* must be a list of 3 "):
        job_from_table(UPSAMPLE | {"volumes": [{"input": "a", "output": "b", "profile": [None]}]})


@pytest.mark.parametrize(("asked", "file"), [(True, None), (False, "u.nrrd")])
def test_uncertainty_requires_a_file_and_vice_versa(asked, file):
    volume = {"input": "a", "output": "b", "uncertainty": file}

    with pytest.raises(InputError, match="uncertainty must be true if every volume"):
        job_from_table(UPSAMPLE | {"quality": "best", "uncertainty": asked, "volumes": [volume]})
