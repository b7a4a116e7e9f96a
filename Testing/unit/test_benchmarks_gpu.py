"""The benchmark for GPUs says what it measured, on any machine: with made-up timings, and for tiny jobs on the CPU."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch

from ArSSRLib.model.arssr import ArSSR
from ArSSRLib.model.config import ArSSRConfig

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("gpu")


def table_of(text: str) -> list[dict[str, str]]:
    """Read the first table of a page of Markdown."""
    head, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    return [dict(zip(head, row, strict=True)) for row in rows]


def cost(gpu, *, milliseconds: tuple[float, ...], target: float | None):
    job = gpu.Job("published RDN", (66, 66, 66), 4.0, target)
    return gpu.Cost(
        job=job,
        device_ms=milliseconds,
        host_ms=(70.0, 90.0, 80.0),
        flop=16e12,
        traffic=3e9,
        peak_memory=2_500_000_000,
        max_error=0.0123,
        rms_error=0.00123,
    )


def test_a_row_holds_the_median_beside_the_floor_and_the_target(gpu):
    machine = gpu.Machine("Made up", flops=800e12, bandwidth=3e12)

    text = gpu.report(machine, [cost(gpu, milliseconds=(39.0, 41.0, 40.0), target=42.0)], "bf16", device="cuda:0")

    (row,) = table_of(text)
    assert row["job"] == "66 x 66 x 66 x4"
    assert [row[name] for name in ("device ms", "arithmetic ms", "traffic ms", "times the floor")] == [
        "40.0",
        "20.0",
        "1.0",
        "2.00",
    ]
    assert row["target ms"] == "42 (met)"
    assert (row["host to host ms"], row["peak GB"], row["largest error"]) == ("80.0", "2.50", "1.2e-02")


@pytest.mark.parametrize(("target", "expected"), [(39.0, "39 (missed)"), (None, "")])
def test_a_missed_target_is_said_and_a_job_without_one_says_nothing(gpu, target, expected):
    machine = gpu.Machine("Made up", flops=800e12, bandwidth=3e12)

    text = gpu.report(machine, [cost(gpu, milliseconds=(40.0,), target=target)], "bf16", device="cuda:0")

    assert table_of(text)[0]["target ms"] == expected


def test_the_floor_is_the_traffic_where_that_takes_longer(gpu):
    slow_memory = gpu.Machine("Made up", flops=800e12, bandwidth=1e10)

    assert cost(gpu, milliseconds=(40.0,), target=None).floor_ms(slow_memory) == pytest.approx(300.0)


def test_the_operations_are_those_of_the_published_table(gpu):
    """5,916,352 multiplications a coarse voxel and 363,008 a fine one."""
    jobs = importlib.import_module("gpu_jobs")
    model = ArSSR(ArSSRConfig())

    assert jobs.least_cost(model, 1, 0)[0] == 2 * 5_916_352
    assert jobs.least_cost(model, 0, 1)[0] == 2 * 363_008


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so_and_ends_with_status_2(gpu, capsys, tmp_path):
    assert gpu.main(["--output", str(tmp_path)]) == 2

    assert "no CUDA GPU" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_its_whole_logic_runs_on_tiny_jobs(gpu, capsys, tmp_path):
    assert gpu.main(["--tiny-on-cpu", "--rounds", "1", "--output", str(tmp_path)]) == 0

    rows = table_of((tmp_path / "gpu_tiny.md").read_text(encoding="utf-8"))
    assert [row["model"] for row in rows] == ["published RDN", "default"]
    assert all(float(row["device ms"]) > 0 and float(row["largest error"]) < 0.05 for row in rows)


def test_what_is_timed_on_the_device_is_what_upsample_gives(gpu, tiny_model):
    """Slab by slab: no fine voxel is left out, none lies elsewhere."""
    jobs = importlib.import_module("gpu_jobs")
    volume = jobs.noisy_phantom((9, 8, 7))
    plan = jobs.plan_upsampling(volume, tiny_model, 2, device=torch.device("cpu"))
    intensities = jobs.IntensityRange.of(volume.array)
    coarse = torch.from_numpy(intensities.normalize(volume.array))
    path = jobs.network_path(tiny_model, torch.device("cpu"), torch.float32, voxels=4032)

    with torch.inference_mode():
        found = jobs.answer_all(path, coarse, torch.full((1, 3), 2.0), plan=plan, fine_shape=(14, 16, 18))

    expected = intensities.normalize(jobs.upsample(volume, tiny_model, 2, device="cpu", precision="fp32").array)
    # An upsampled magnitude image has no negative voxels.
    assert float((found.clamp(min=float(expected.min())) - torch.from_numpy(expected)).abs().max()) < 1e-5
