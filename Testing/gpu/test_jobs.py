"""The benchmark measures the requested work, and the tables show its results; timings are made up."""

from __future__ import annotations

import pytest
import torch

from ArSSRLib.model.arssr import ArSSR, ArSSRConfig
from ArSSRLib.normalization import IntensityRange
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.upsampling import plan_upsampling, upsample
from gpu import jobs, report
from gpu.networks import script
from gpu.plan import JOBS
from gpu.ways import path_of

JOB = next(job for job in JOBS if job.target == 42.0)


def items(**changes: float) -> dict[str, dict]:
    measured = {"device ms": 40.0, "flop": 16e12, "traffic": 3e9, "largest error": 0.0123, "rms error": 0.00123}
    peak = {"flops": 800e12, "bandwidth": 3e12}
    whole = {"number format": "float16", "ms": 80.0, "first s": 2.0, "peak GB": 2.5}
    values = {
        "benchmark/peak in fp16": peak | {k: v for k, v in changes.items() if k in peak},
        f"benchmark/{JOB.words}/fused fp16": measured | {k: v for k, v in changes.items() if k in measured},
        f"benchmark/{JOB.words}/host to host, torch": whole,
    }
    return {
        name: {"status": "ok", "seconds": 1.0, "values": numbers, "message": ""} for name, numbers in values.items()
    }


def row_of(text: str) -> dict[str, str]:
    """Read the last table of a page of Markdown, which has one row."""
    head, _, row = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ][-3:]
    return dict(zip(head, row, strict=True))


def test_a_row_shows_the_measurement_and_the_minimum():
    text = report.report({}, items())

    assert row_of(text) == {
        "way": "fused fp16",
        "device ms": "40.0",
        "arithmetic ms": "20.0",
        "traffic ms": "1.0",
        "times the floor": "2.00",
        "largest error": "1.2e-02",
        "rms error": "1.2e-03",
    }
    assert "host to host, torch, float16: 80.0 ms, the first time 2.0 s, peak 2.50 GB" in text


@pytest.mark.parametrize(("took", "expected"), [(40.0, "42 ms: met with 40.0"), (43.0, "42 ms: missed with 43.0")])
def test_a_missed_target_is_reported(took, expected):
    assert expected in report.report({}, items(**{"device ms": took}))


def test_the_minimum_is_the_memory_traffic_if_that_takes_longer():
    assert row_of(report.report({}, items(bandwidth=1e11)))["times the floor"] == "1.33"


def test_wrong_results_are_listed_before_the_tables():
    wrong = {"status": "wrong", "seconds": 1.0, "values": {"error": 0.3}, "message": ""}
    failed = {"status": "failed", "seconds": 1.0, "values": {}, "message": "RuntimeError: no kernel image"}

    text = report.report({}, {"checks/a": wrong, "checks/b": failed, **items()})

    assert (
        text.index("- checks/a (wrong): error 0.3")
        < text.index("- checks/b (failed): RuntimeError")
        < text.index(JOB.words)
    )


def test_the_fastest_correct_block_is_selected():
    def tried(block: str, ms: float, status: str = "ok") -> tuple[str, dict]:
        values = {"ms": ms, "TFLOP/s": 1.0}
        return f"tuning/published, fp16/{block}", {"status": status, "values": values, "seconds": 1.0, "message": ""}

    found = report.winners(dict([tried("64 rows", 3.0), tried("128 rows", 2.0), tried("256 rows", 1.0, "wrong")]))

    assert found["published, fp16"]["block"] == "128 rows"


def test_the_number_of_operations_matches_the_published_table():
    """5,916,352 multiplications per coarse voxel, and 363,008 per fine voxel."""
    model = ArSSR(ArSSRConfig())

    assert jobs.least_cost(model, 1, 0)[0] == 2 * 5_916_352
    assert jobs.least_cost(model, 0, 1)[0] == 2 * 363_008


def test_the_timed_result_on_the_device_equals_that_of_upsample(tiny_model):
    """The result slab by slab has every fine voxel at its position."""
    volume = script("phantom").noisy_phantom((9, 8, 7))
    options = UpsamplingOptions(device="cpu", precision="fp32")
    plan = plan_upsampling(volume, tiny_model, 2, options)
    intensities = IntensityRange.of(volume.array)
    coarse = torch.from_numpy(intensities.normalize(volume.array))
    path = path_of(tiny_model, "plain", "fp32", device=torch.device("cpu"))

    with torch.inference_mode():
        found = jobs.answer_all(path, coarse, torch.full((1, 3), 2.0), plan=plan, fine_shape=(14, 16, 18))

    expected = intensities.normalize(upsample(volume, tiny_model, 2, options).array)
    # An upsampled magnitude image has no negative voxels.
    assert float((found.clamp(min=float(expected.min())) - torch.from_numpy(expected)).abs().max()) < 1e-5
