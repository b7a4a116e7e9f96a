"""Whatever an item does to its process, the others are done, and all is known."""

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


def test_an_error_is_told_in_one_line_and_a_wrong_answer_is_no_error(done):
    found = done("raises", "wrong", "good")

    assert found["raises"].message == "RuntimeError: out of resource: shared memory (misbehaving.py:6)"
    assert [found[name].status for name in ("raises", "wrong", "good")] == ["failed", "wrong", "ok"]
    assert found["wrong"].values == {"error": 0.5}


def test_what_kills_its_process_costs_itself_alone(done, capfd):
    found = done("dies", "good")

    assert (found["dies"].status, found["dies"].message) == ("ended", "its process was ended by signal 6")
    assert found["good"].status == "ok"


def test_what_hangs_is_ended_after_its_limit_and_the_next_is_done_by_another_process(done):
    started = time.monotonic()
    found = done("hangs", "good", limit=1.0)

    assert (found["hangs"].status, found["good"].status) == ("ended", "ok")
    assert time.monotonic() - started < 30


def test_when_the_time_is_over_nothing_more_is_begun(done):
    found = done("hangs", "good", seconds=1.5)

    assert [result.status for result in found.values()] == ["no time", "no time"]


def test_results_of_another_machine_are_not_taken_for_those_of_this_one(tmp_path):
    Results(tmp_path, {"device": "one"}).add("a", Result("ok"))

    assert Results(tmp_path, {"device": "one"}).has("a")
    assert not Results(tmp_path, {"device": "two"}).has("a")


def test_what_was_cut_off_is_tried_again_and_what_failed_is_not(tmp_path):
    results = Results(tmp_path, {})
    for status in ("ok", "wrong", "failed", "ended", "no time"):
        results.add(status, Result(status))

    again = Results(tmp_path, {})

    assert [name for name in again.items if again.has(name)] == ["ok", "wrong", "failed"]


def test_a_file_is_the_old_one_or_the_new_one_even_if_the_disk_is_full(tmp_path, monkeypatch):
    path = tmp_path / FILE
    write_atomically(path, json.dumps({"old": 1}).encode())

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"{")

    assert json.loads(path.read_text(encoding="utf-8")) == {"old": 1}


def test_more_than_comes_back_is_named(tmp_path):
    for number in range(9):
        (tmp_path / f"{number}").write_bytes(b"")
    with (tmp_path / "0").open("wb") as file:
        file.truncate(16 * 2**20 + 1)

    assert too_much(tmp_path) == ["0 has 16777217 bytes", "there are 9 files"]
