"""Subjects in parallel give the same table as in sequence, and a process that dies only affects its subject."""

import dataclasses
import os

import pytest
from evaluation.tables import protocol_of, write_subjects

from ArSSRLib.evaluation.results import Results
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


def test_parts_of_a_task_are_all_of_it(tasks, tmp_path):
    whole = tasks("whole")[0]
    whole = dataclasses.replace(whole, protocol=dataclasses.replace(whole.protocol, degradations=("point", "box")))
    parts = whole.parts()

    results = Results(whole.protocol, {}, [])
    for event in events_of(parts, jobs=1):
        results.add(event)

    assert [part.protocol.degradations for part in parts] == [("point",), ("box",)]
    assert told(results.cells) == told(events_of([whole], jobs=1))
    assert not any(cell.computed for cell in events_of([whole], jobs=1) if isinstance(cell, Cell))
    assert len(results.prepared) == 1
    thick = dataclasses.replace(whole, real=True)
    assert thick.parts() == [thick]


def test_an_unreadable_subject_is_reported_once(tasks):
    whole = tasks("whole")[0]
    whole.source.path.write_bytes(b"no volume")
    results = Results(whole.protocol, {}, [])
    for event in events_of([whole, whole], jobs=1):
        results.add(event)

    assert len(results.problems) == 1


def told(events):
    return sorted((*dataclasses.astuple(event.place), event.values) for event in events if isinstance(event, Cell))


def test_two_processes_give_the_same_table_and_a_dead_one_is_named(tasks, tmp_path):
    deadly = Task(protocol_of(tmp_path), Source(Deadly(), "sub-99"), False, False, "cpu")

    parallel = list(events_of([deadly, *tasks("parallel")], jobs=3))

    assert told(parallel) == told(events_of(tasks("serial"), jobs=1))
    (problem,) = [event for event in parallel if isinstance(event, Problem)]
    assert problem.place.subject == "sub-99"
    assert "exit code 9" in problem.reason
