"""The worker's events: complete lines of JSON, progress that never decreases, and a final event."""

from __future__ import annotations

import json
import logging
import os
import threading

import pytest
from worker_events import Told

from ArSSRLib.errors import one_line
from ArSSRLib.worker.cancellation import CancelledError
from ArSSRLib.worker.events import Events, Progress, logging_as_events


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def told(tmp_path):
    return Told(tmp_path / "told")


@pytest.fixture
def clock():
    return Clock()


def test_an_event_is_one_line_of_json_with_any_content(told):
    message = "Größe 脳\nsecond line \ud800"

    told.events.send("log", level="info", message=message)

    content = told.path.read_bytes()
    assert content.count(b"\n") == 1
    assert json.loads(content) == {"event": "log", "level": "info", "message": message}


def test_lines_of_threads_do_not_interleave(told):
    threads = [
        threading.Thread(target=lambda n=n: [told.events.send("log", message=str(n) * 5000) for _ in range(50)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(told.lines()) == 200
    assert all(len(set(line["message"])) == 1 for line in told.lines())


def test_there_is_no_event_after_the_last_one(told):
    told.events.end("done", results=[])
    told.events.end("cancelled")
    told.events.send("log", message="late")

    assert told.lines() == [{"event": "done", "results": []}]


def test_a_closed_output_cancels_the_work():
    reading, writing = os.pipe()
    os.close(reading)
    events = Events(writing)

    with pytest.raises(CancelledError):
        events.send("started")
    events.end("cancelled")  # this cannot be delivered either

    os.close(writing)


# --- progress


def fractions(told: Told) -> list[float]:
    return [line["fraction"] for line in told.lines("progress")]


def progress_of(told: Told, clock: Clock, volumes: int) -> Progress:
    return Progress(told.events, told.cancellation.check, volumes, clock=clock)


def test_progress_goes_from_0_to_1_over_all_volumes_and_never_falls(told, clock):
    progress = progress_of(told, clock, 3)
    for volume in (1, 2, 3):
        for stage in ("read", "upsample"):
            progress.stage(stage, volume)
        for part in (0.0, 0.4, 0.3, 1.0):
            clock.now += 1
            progress.upsampled(part)
        progress.stage("write", volume)
        clock.now += 1
        progress.written()

    told_fractions = fractions(told)
    assert told_fractions == sorted(set(told_fractions))
    assert told_fractions[0] == 0
    assert told_fractions[-1] == 1
    assert [f for f in told_fractions if f in (0.3333, 0.6667)] == [0.3333, 0.6667]
    assert [(line["stage"], line["volume"]) for line in told.lines("stage")][-1] == ("write", 3)
    assert {line["volumes"] for line in told.lines()} == {3}


def test_progress_is_reported_at_most_ten_times_per_second_and_always_at_the_end(told, clock):
    progress = progress_of(told, clock, 1)
    progress.stage("upsample", 1)
    for step in range(1001):
        progress.upsampled(step / 1000)
        clock.now += 0.001
    progress.written()

    assert 9 <= len(fractions(told)) <= 12
    assert fractions(told)[-1] == 1


def test_the_time_left_is_extrapolated_from_the_time_taken(told, clock):
    progress = progress_of(told, clock, 2)
    progress.stage("upsample", 1)
    progress.upsampled(0.0)
    clock.now += 30
    progress.upsampled(0.5)
    clock.now += 30
    progress.written()

    left = [line["seconds_left"] for line in told.lines("progress")]
    assert left[0] is None
    assert left[1] == pytest.approx(30 * (1 - 0.245) / 0.245, abs=0.1)
    assert left[2] == pytest.approx(60)


def test_the_time_left_is_not_extrapolated_from_the_first_steps(told, clock):
    progress = progress_of(told, clock, 1)
    progress.stage("upsample", 1)
    progress.upsampled(0.0)
    clock.now += 20  # the first convolution waits for memory
    progress.upsampled(0.01)
    clock.now += 1
    progress.upsampled(0.2)

    assert [line["seconds_left"] is None for line in told.lines("progress")] == [True, True, False]


@pytest.mark.parametrize("step", ["stage", "upsampled", "written"])
def test_every_step_checks_for_cancellation(told, clock, step):
    progress = progress_of(told, clock, 1)
    told.cancellation.request()

    arguments = {"stage": ("read", 1), "upsampled": (0.5,), "written": ()}[step]
    with pytest.raises(CancelledError):
        getattr(progress, step)(*arguments)

    assert told.lines() == []


# --- the log


def test_log_messages_of_the_engine_become_events_only(told, caplog):
    with logging_as_events(told.events):
        engine = logging.getLogger("ArSSRLib.upsampling")
        engine.warning("%d voxels\nare odd", 3)
        engine.error("worse")
        engine.info("fine")
        engine.debug("not told")
        logging.getLogger("other").warning("of somebody else")
    engine.warning("afterwards")

    assert [(line["level"], line["message"]) for line in told.lines("log")] == [
        ("warning", "3 voxels are odd"),
        ("warning", "worse"),
        ("info", "fine"),
    ]
    assert [record.getMessage() for record in caplog.records] == ["of somebody else", "afterwards"]


def test_a_message_of_several_lines_becomes_one_line():
    assert one_line(ValueError("a\n  b\tc ")) == "a b c"
