"""Many subjects at once: the same table as one after the other, and a process that dies takes its subject only."""

import os

import pytest
from evaluation.tables import protocol_of, write_subjects

from ArSSRLib.evaluation.runner import Cell, Problem, Task
from ArSSRLib.evaluation.workers import events_of
from ArSSRLib.io.sources import Source


class Deadly:
    """A path that ends the process in which it is read from the pipe."""

    name = "sub-99.nii.gz"

    def __reduce__(self):
        return (os._exit, (9,))


@pytest.fixture
def tasks(tmp_path):
    def make(output):
        protocol = protocol_of(tmp_path, output=tmp_path / output)
        return [Task(protocol, Source(path, path.name[:6]), False, False, "cpu") for path in paths]

    paths = write_subjects(tmp_path / "subjects", 2)
    return make


def told(events):
    return sorted(
        (event.place.subject, event.place.method, event.values) for event in events if isinstance(event, Cell)
    )


def test_two_processes_give_what_one_gives_and_a_dead_one_is_named(tasks, tmp_path):
    deadly = Task(protocol_of(tmp_path), Source(Deadly(), "sub-99"), False, False, "cpu")

    parallel = list(events_of([deadly, *tasks("parallel")], jobs=3))

    assert told(parallel) == told(events_of(tasks("serial"), jobs=1))
    (problem,) = [event for event in parallel if isinstance(event, Problem)]
    assert problem.place.subject == "sub-99"
    assert "exit code 9" in problem.reason
