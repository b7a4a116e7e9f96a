"""Cells with a segmentation depend on the version of ANTs and the priors: they are measured again with others."""

import sys

import pytest
from evaluation.tables import CUBIC, protocol_of, write_subjects

from ArSSRLib.evaluation import MetricUnavailable, scoring, segmentation
from ArSSRLib.evaluation.runner import Cell, Task, evaluate
from ArSSRLib.evaluation.scoring import Metric, Value
from ArSSRLib.evaluation.segmentation import identity_of_ants
from ArSSRLib.io.sources import Source

# A stand-in for a Python that only reports its version of ANTs.
STAND_IN = "#!/bin/sh\necho {version}\n"


def stand_in(folder, version):
    if sys.platform == "win32":
        pytest.skip("a script stands in for a Python here, which Windows does not start")
    program = folder / f"python {version}"
    program.write_text(STAND_IN.format(version=version), encoding="utf-8")
    program.chmod(0o755)
    return program


def oasis(folder):
    (folder / "Priors2").mkdir(parents=True)
    for name in (segmentation.TEMPLATE, *(segmentation.PRIORS.format(n) for n in range(1, 7))):
        (folder / name).write_text(name, encoding="utf-8")
    return folder


@pytest.fixture
def use(monkeypatch):
    """Return a function that configures ANTs and optional priors like a user."""

    def name(python, priors=""):
        monkeypatch.setenv(segmentation.PYTHON_VARIABLE, str(python))
        monkeypatch.setenv(segmentation.PRIORS_VARIABLE, str(priors))

    return name


def test_the_identity_is_the_version_and_the_content_of_the_priors(use, tmp_path):
    python, folder, moved = stand_in(tmp_path, "0.6.3"), oasis(tmp_path / "a"), oasis(tmp_path / "b")
    use(python)
    none = identity_of_ants()
    use(python, folder)
    priors = identity_of_ants()
    use(python, moved)
    elsewhere = identity_of_ants()
    (moved / segmentation.PRIORS.format(4)).write_text("changed", encoding="utf-8")
    changed = identity_of_ants()
    use(stand_in(tmp_path, "0.7.0"), moved)
    newer = identity_of_ants()

    assert none == "antspyx 0.6.3, priors none"
    assert priors == elsewhere
    assert len({none, priors, changed, newer}) == 4


def test_a_python_that_cannot_be_started_is_named(use, tmp_path):
    use(tmp_path / "none")

    with pytest.raises(MetricUnavailable, match="cannot be started"):
        identity_of_ants()


def test_a_python_without_a_version_is_reported_by_the_segmentation(use):
    use(sys.executable)

    assert identity_of_ants() == "antspyx unknown, priors none"


def test_other_priors_measure_the_segmentation_again_and_nothing_else(use, tmp_path, monkeypatch):
    (path,) = write_subjects(tmp_path / "subjects", 1)
    protocol = protocol_of(tmp_path, metrics=("psnr", "segmentation"), methods=(CUBIC,))
    task = Task(protocol, Source(path, "sub-01"), False, False, "cpu")
    measured = []

    def counted(name, metric):
        def measure(_):
            measured.append(name)
            return [Value(name, "volume", float(len(measured)))]

        return Metric(measure, identity=metric.identity)

    for name in protocol.metrics:
        monkeypatch.setitem(scoring.METRICS, name, counted(name, scoring.METRICS[name]))
    python, folder = stand_in(tmp_path, "0.6.3"), oasis(tmp_path / "priors")

    told = []
    for priors in ("", folder, "", folder):
        use(python, priors)
        (cell,) = [event for event in evaluate(task) if isinstance(event, Cell)]
        told.append([value.number for value in cell.values])

    assert measured == ["psnr", "segmentation", "segmentation"]
    assert told == [[1, 2], [1, 3], [1, 2], [1, 3]]  # with the first ones, the first cell is found again


def test_the_table_is_computed_without_ants(tmp_path, monkeypatch):
    monkeypatch.delenv(segmentation.PYTHON_VARIABLE, raising=False)
    (path,) = write_subjects(tmp_path / "subjects", 1)
    protocol = protocol_of(tmp_path, metrics=("psnr", "segmentation"), methods=(CUBIC,))

    *_, cell = evaluate(Task(protocol, Source(path, "sub-01"), False, False, "cpu"))

    assert {value.metric for value in cell.values} == {"psnr"}
