"""The numbers in the tables agree with closed forms."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from ArSSRLib.model.arssr import ArSSR, ArSSRConfig
from ArSSRLib.model.arssr2 import ArSSR2, ArSSR2Config


def peaks(matmul=4.0, convolution=2.0, bandwidth=8.0):
    from floors import Peaks

    return Peaks(matmul, convolution, bandwidth)


def test_a_ratio_is_the_median_of_the_ratios_within_a_round():
    from speed import median_ratio

    # 2, 3 and 40; the ratio of the medians would be 5.
    assert median_ratio((2, 30, 40), (1, 10, 1)) == 3


def test_a_row_without_seconds_has_no_ratio():
    from jobs import Row
    from speed import Timing, times_faster

    measured, failed = Timing(Row("a", "b"), (2.0, 3.0)), Timing(Row("a", "b"), ())

    assert times_faster(measured, replace(measured, seconds=(4.0, 9.0))) == 2.5
    assert [times_faster(*pair) for pair in ((measured, failed), (failed, measured), (measured, None))] == [None] * 3


def test_a_row_of_one_round_is_compared_by_medians():
    from jobs import Row
    from speed import Timing, times_faster

    assert times_faster(Timing(Row("a", "b"), (2.0, 3.0, 9.0)), Timing(Row("a", "c"), (90.0,))) == 30


def test_the_floor_is_the_longer_of_arithmetic_and_traffic():
    from floors import Work

    assert peaks().seconds(Work(operations=12, traffic=8)) == (3, 1)
    assert peaks().floor(Work(operations=12, traffic=8)) == 3
    assert peaks().floor(Work(operations=12, traffic=80)) == 10
    assert peaks(convolution=6.0).floor(Work(operations=12, traffic=8)) == 2


def test_a_peak_is_the_best_that_was_seen():
    assert peaks(4, 2, 8).best(peaks(3, 5, 9)) == peaks(4, 5, 9)


def test_the_published_network_takes_the_operations_of_its_paper():
    from floors import answering, encoding

    model = ArSSR(ArSSRConfig(encoder="RDN"))

    # 1 + 64 * 27 kernels at the entry, 8 blocks of 64 * 64 * (1 + 2 + 3) kernels and a fusion of 256, and the rest.
    blocks = 8 * (6 * 64 * 64 * 27 + 256 * 64)
    macs = 64 * 27 + 64 * 64 * 27 + blocks + 512 * 64 + 64 * 64 * 27 + 64 * 128 * 27
    assert encoding(model, 10).operations == 2 * 10 * macs == 2 * 10 * 5_916_352
    stages = (131 * 256 + 2 * 256**2 + 256 * 131) + (131 * 256 + 2 * 256**2 + 256)
    assert answering(model, 10, 80).operations == 2 * 80 * stages == 2 * 80 * 363_008
    # Input, feature map and weights; feature map, weights and output.
    assert encoding(model, 10).traffic == 4 * (10 * (1 + 128) + macs)
    assert answering(model, 10, 80).traffic == 4 * (10 * 128 + stages + 80)


def test_arssr2_takes_the_operations_of_its_layers():
    from floors import answering, encoding

    model = ArSSR2(ArSSR2Config(channels=6, blocks=3, feature_channels=10, decoder_layers=3))

    assert encoding(model, 10).operations == 2 * 10 * 27 * (2 * 6 + 3 * 2 * 6 * 6 + 6 * 10)
    assert answering(model, 10, 80).operations == 2 * 80 * (2 * 10 * 10 + 10)
    assert answering(model, 10, 80).traffic == 4 * (10 * 11 + 210 + 80)


def test_the_load_of_other_programs_excludes_our_own():
    from machine import load_of_others

    assert load_of_others(busy=5, own=4, seconds=2) == 0.5
    assert load_of_others(busy=3.99, own=4, seconds=2) == 0  # clocks of the system are coarse


def test_a_cache_that_cores_share_counts_once(tmp_path):
    from machine import cache_bytes

    for core in range(4):
        caches = ((1, "Instruction", "32K", core), (2, "Unified", "1024K", core), (3, "Unified", "2048K", core // 2))
        for index, (level, kind, size, shared) in enumerate(caches):
            folder = tmp_path / f"cpu{core}" / "cache" / f"index{index}"
            folder.mkdir(parents=True)
            for name, value in (("level", level), ("type", kind), ("size", size), ("shared_cpu_list", shared)):
                (folder / name).write_text(f"{value}\n", encoding="ascii")

    assert [cache_bytes(level, tmp_path) for level in (1, 2, 3)] == [0, 4 * 2**20, 2 * 2**21]


@pytest.mark.parametrize(("flags", "expected"), [("sse2 avx512_bf16", True), ("amx_bf16", True), ("avx512f", False)])
def test_bf16_has_rows_where_the_processor_has_it(flags, expected, tmp_path, monkeypatch):
    import machine
    from jobs import BF16, Job

    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
    machine.CPUINFO.write_text(f"flags : fpu {flags}\n", encoding="ascii")

    ways = [row.way for row in Job((4, 4, 4), 2, ("a",), rounds=1, variants=True).rows()]
    assert (BF16 in ways) == expected


@pytest.mark.parametrize(("known", "installed"), [(True, True), (True, False), (False, True)])
def test_openvino_has_rows_where_the_engine_and_its_package_have_it(known, installed, monkeypatch):
    import jobs

    monkeypatch.setattr(jobs, "upsample", (lambda backend: None) if known else (lambda device: None))
    monkeypatch.setattr(jobs, "find_spec", lambda name: SimpleNamespace() if installed else None)

    assert jobs.has_openvino() == (known and installed)


@pytest.mark.parametrize("size", [(30, 8, 40), (160, 192, 144)])
def test_boxes_lie_in_both_corners_and_in_the_middle(size):
    from jobs import Job

    job = Job(size, 2, ("a",), rounds=1, plain=False)
    first, middle, last = job.boxes()

    assert [s.start for s in first] == [0, 0, 0]
    assert [s.stop for s in last] == list(job.fine_shape)
    assert all(abs(s.start + s.stop - n) <= 1 for s, n in zip(middle, job.fine_shape, strict=True))
    assert {s.stop - s.start for box in (first, middle, last) for s in box} == {16}


def test_everything_is_compared_where_the_yardstick_can_finish():
    from jobs import Job

    assert Job((3, 4, 5), 2, ("a",), rounds=1).boxes() == [(slice(0, 10), slice(0, 8), slice(0, 6))]
