"""Whatever an item does to its process, the other items are run, and every outcome is recorded."""

from __future__ import annotations

import json
import time

import pytest

from gpu.plan import Item
from gpu.results import FILE, Result, Results, too_much, write_atomically
from gpu.supervision import Budget, carry_out

MISBEHAVING = """
import os, time

def good(*, tiny, value=1): return {"value": value}
def wrong(*, tiny): return {"error": 0.5, "right": False}
def raises(*, tiny): raise RuntimeError("out of resource:\\n shared memory")
def hangs(*, tiny): time.sleep(60)
def dies(*, tiny): os.abort()
def who(*, tiny): return {"process": os.getpid()}
"""


@pytest.fixture
def done(tmp_path, monkeypatch):
    (tmp_path / "misbehaving.py").write_text(MISBEHAVING, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    def do(*names: str, seconds: float = 30.0, limit: float = 20.0) -> dict[str, Result]:
        items = [Item(f"{number}/{name}", f"misbehaving:{name}", {}, 0.1, limit) for number, name in enumerate(names)]
        results = Results(tmp_path / "output", {})
        carry_out(items, results, Budget(seconds), tiny=True)
        return {name: results.items[item.name] for name, item in zip(names, items, strict=True)}

    return do


def test_an_error_is_reported_in_one_line_and_a_wrong_result_is_not_an_error(done):
    found = done("raises", "wrong", "good")

    assert found["raises"].message == "RuntimeError: out of resource: shared memory (misbehaving.py:6)"
    assert [found[name].status for name in ("raises", "wrong", "good")] == ["failed", "wrong", "ok"]
    assert found["wrong"].values == {"error": 0.5}


def test_an_item_that_kills_its_process_does_not_affect_others(done, capfd):
    found = done("dies", "good")

    assert (found["dies"].status, found["dies"].message) == ("ended", "its process was ended by signal 6")
    assert found["good"].status == "ok"


def test_an_item_that_hangs_is_ended_and_the_next_runs_in_another_process(done):
    started = time.monotonic()
    found = done("hangs", "good", limit=1.0)

    assert (found["hangs"].status, found["good"].status) == ("ended", "ok")
    assert time.monotonic() - started < 30


def test_no_item_starts_after_the_end_of_the_time(done):
    found = done("hangs", "good", seconds=1.5)

    assert [result.status for result in found.values()] == ["no time", "no time"]


def test_results_of_another_machine_are_not_reused(tmp_path):
    Results(tmp_path, {"device": "one"}).add("a", Result("ok"))

    assert Results(tmp_path, {"device": "one"}).has("a")
    assert not Results(tmp_path, {"device": "two"}).has("a")


def test_items_out_of_time_are_repeated_and_failed_items_are_not(tmp_path):
    results = Results(tmp_path, {})
    for status in ("ok", "wrong", "failed", "ended", "no time"):
        results.add(status, Result(status))

    again = Results(tmp_path, {})

    assert [name for name in again.items if again.has(name)] == ["ok", "wrong", "failed"]


def test_a_file_is_complete_old_or_new_even_if_the_disk_is_full(tmp_path, monkeypatch):
    path = tmp_path / FILE
    write_atomically(path, json.dumps({"old": 1}).encode())

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"{")

    assert json.loads(path.read_text(encoding="utf-8")) == {"old": 1}


def test_files_that_exceed_the_returned_amount_are_listed(tmp_path):
    for number in range(9):
        (tmp_path / f"{number}").write_bytes(b"")
    with (tmp_path / "0").open("wb") as file:
        file.truncate(16 * 2**20 + 1)

    assert too_much(tmp_path) == ["0 has 16777217 bytes", "there are 9 files"]
