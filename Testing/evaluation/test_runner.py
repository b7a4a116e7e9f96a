"""All cells of a subject: nothing is computed twice, and failures are reported while the others continue."""

import dataclasses

import numpy as np
import pytest
from evaluation.tables import BACK, CUBIC, protocol_of, rough, write_subject, write_subjects
from scipy import ndimage

from ArSSRLib.acquisition.ripple import slice_ripple
from ArSSRLib.evaluation import MetricUnavailable, runner, scoring
from ArSSRLib.evaluation.protocol_methods import Method
from ArSSRLib.evaluation.runner import Cell, Place, Prepared, Problem, Task, evaluate
from ArSSRLib.evaluation.scoring import Metric
from ArSSRLib.io import read_volume
from ArSSRLib.io.sources import Source


@pytest.fixture
def subject(tmp_path):
    (path,) = write_subjects(tmp_path / "subjects", 1)
    return Source(path, "sub-01")


def task_of(source, protocol, *, real=False, pictured=False):
    return Task(protocol, source, real, pictured, "cpu")


def cells_of(task):
    return [event for event in evaluate(task) if isinstance(event, Cell)]


def numbers(cells):
    return {(cell.place.method, value.metric, value.region): value.number for cell in cells for value in cell.values}


def refuse_to_compute(monkeypatch):
    monkeypatch.setattr(runner, "apply_method", lambda *_, **__: pytest.fail("was computed again"))


def test_a_cell_agrees_with_an_independent_computation(subject, tmp_path):
    cells = cells_of(task_of(subject, protocol_of(tmp_path)))

    truth = read_volume(subject.path).array.astype(np.float64)
    positions = [np.meshgrid(*[f(n) for n in truth.shape], indexing="ij") for f in (coarse_positions, fine_positions)]
    coarse = ndimage.map_coordinates(truth, positions[0], order=3, mode="mirror")
    cubic = ndimage.map_coordinates(coarse, positions[1], order=3, mode="mirror")
    expected = 10 * np.log10(np.ptp(truth) ** 2 / np.mean((truth - cubic) ** 2))
    assert numbers(cells)["cubic", "psnr", "volume"] == pytest.approx(expected, abs=1e-3)


def coarse_positions(count):
    return (np.arange(count // 2) + 0.5) * 2 - 0.5


def fine_positions(count):
    return (np.arange(count) + 0.5) / 2 - 0.5


def test_a_subject_is_reported_when_it_has_been_read(subject, tmp_path):
    first = next(evaluate(task_of(subject, protocol_of(tmp_path))))

    assert isinstance(first, Prepared)
    assert (first.place, first.size) == (Place("sub-01"), (24, 22, 20))


def test_finished_cells_are_not_computed_again(subject, tmp_path, monkeypatch):
    task = task_of(subject, protocol_of(tmp_path))
    before = cells_of(task)
    refuse_to_compute(monkeypatch)

    after = cells_of(task)

    assert [cell.computed for cell in before] == [True, True]
    assert [cell.computed for cell in after] == [False, False]
    assert numbers(after) == numbers(before)


def test_a_new_name_of_a_method_or_a_subject_computes_nothing(subject, tmp_path, monkeypatch):
    cells_of(task_of(subject, protocol_of(tmp_path)))
    refuse_to_compute(monkeypatch)
    renamed = protocol_of(tmp_path, methods=(dataclasses.replace(CUBIC, name="spline"),))

    (cell,) = cells_of(task_of(dataclasses.replace(subject, subject="A"), renamed))

    assert cell.place == Place("A", "2", "point", "spline")


@pytest.mark.parametrize(
    "changes",
    [
        {"spacing": 1.5},
        {"crop": "mask"},
        {"crop_size": (16, 16, 16)},
        {"scales": ((3.0, 3.0, 3.0),)},
        {"degradations": ("box",)},
        {"mask": False},
        {"precision": "auto"},
    ],
)
def test_a_cell_is_computed_again_after_any_relevant_change(subject, tmp_path, changes):
    cells_of(task_of(subject, protocol_of(tmp_path)))

    assert all(cell.computed for cell in cells_of(task_of(subject, protocol_of(tmp_path, **changes))))


def test_other_voxels_under_the_same_name_compute_again(subject, tmp_path):
    task = task_of(subject, protocol_of(tmp_path))
    cells_of(task)
    subject.path.unlink()
    write_subject(subject.path, 99)

    assert all(cell.computed for cell in cells_of(task))


def test_other_lesions_of_the_same_voxels_compute_again(subject, tmp_path):
    mask = np.zeros(rough().shape, np.uint8)
    mask[9:12, 9:12, 9:12] = 1
    source = dataclasses.replace(subject, lesions=write_subject(tmp_path / "mask.nii.gz", array=mask))
    task = task_of(source, protocol_of(tmp_path))
    plain, with_lesions, again = (cells_of(one) for one in (task_of(subject, task.protocol), task, task))
    mask[12] = mask[11]
    source.lesions.unlink()
    write_subject(tmp_path / "mask.nii.gz", array=mask)

    other = cells_of(task)

    assert [cells[0].computed for cells in (plain, with_lesions, again, other)] == [True, True, False, True]
    assert ("cubic", "psnr", "lesions") in numbers(other).keys() - numbers(plain).keys()


def test_synthetic_lesions_compute_again_and_are_counted(tmp_path):
    path = write_subject(tmp_path / "sub-01.nii.gz", 3, spacing=(3.0, 3.0, 3.0))
    cells_of(task_of(Source(path, "sub-01"), protocol_of(tmp_path)))

    first, *cells = evaluate(task_of(Source(path, "sub-01"), protocol_of(tmp_path, lesions="synthetic")))

    assert first.lesions > 0
    assert all(cell.computed for cell in cells)
    assert ("cubic", "psnr", "synthetic lesions") in numbers(cells)


def test_other_weights_under_the_same_name_compute_again(subject, tmp_path, tiny_weights):
    path = tmp_path / "net.safetensors"
    path.write_bytes(tiny_weights.read_bytes())
    task = task_of(subject, protocol_of(tmp_path, methods=(CUBIC, Method("net", "model", str(path)))))
    cells_of(task)
    path.write_bytes((tiny_weights.read_bytes()).replace(b'"Tiny"', b'"Tune"'))

    assert [cell.computed for cell in cells_of(task)] == [False, True]


def test_a_metric_more_measures_only_that_one(subject, tmp_path, monkeypatch):
    first = numbers(cells_of(task_of(subject, protocol_of(tmp_path))))
    monkeypatch.setitem(scoring.METRICS, "psnr", Metric(lambda _: pytest.fail("was measured again")))

    found = numbers(cells_of(task_of(subject, protocol_of(tmp_path, metrics=("ssim", "psnr")))))

    assert found.items() >= first.items()
    assert len(found) == 2 * len(first)


def test_a_failed_metric_is_tried_again_in_the_next_run(subject, tmp_path, monkeypatch):
    def give_up(_):
        raise MetricUnavailable("Not today.")

    protocol = protocol_of(tmp_path, metrics=("psnr", "ssim"), methods=(CUBIC,))
    with monkeypatch.context() as patch:
        patch.setitem(scoring.METRICS, "ssim", Metric(give_up))
        (cell,) = cells_of(task_of(subject, protocol))
        assert {value.metric for value in cell.values} == {"psnr"}

    (cell,) = cells_of(task_of(subject, protocol))

    assert {value.metric for value in cell.values} == {"psnr", "ssim"}


def test_a_failed_cell_is_named_and_the_others_continue(subject, tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"no weights")
    methods = (CUBIC, Method("bad", "model", str(tmp_path / "bad.safetensors")), BACK)

    events = list(evaluate(task_of(subject, protocol_of(tmp_path, methods=methods))))

    (problem,) = [event for event in events if isinstance(event, Problem)]
    assert problem.place == Place("sub-01", "2", "point", "bad")
    assert "bad.safetensors" in problem.reason
    assert not problem.missing
    assert [event.place.method for event in events if isinstance(event, Cell)] == ["cubic", "back"]


def test_an_unexpected_error_in_a_cell_does_not_stop_the_others(subject, tmp_path, monkeypatch):
    real = runner.apply_method

    def sometimes(method, case, **options):
        if method.name == "back":
            raise ZeroDivisionError
        return real(method, case, **options)

    monkeypatch.setattr(runner, "apply_method", sometimes)

    events = list(evaluate(task_of(subject, protocol_of(tmp_path, methods=(BACK, CUBIC)))))

    assert [type(event) for event in events] == [Prepared, Problem, Cell]
    assert events[1].reason == "ZeroDivisionError"


def test_a_result_that_does_not_exist_is_missing_not_failed(subject, tmp_path):
    method = Method("other", "folder", files=f"{tmp_path}/{{subject}}.nii.gz")

    *_, problem = evaluate(task_of(subject, protocol_of(tmp_path, methods=(method,))))

    assert problem.missing


def test_a_subject_that_cannot_be_read_is_one_problem(tmp_path):
    path = tmp_path / "sub-09.nii.gz"
    path.write_bytes(b"no volume")

    (problem,) = evaluate(task_of(Source(path, "sub-09"), protocol_of(tmp_path)))

    assert problem.place == Place("sub-09")
    assert not problem.missing


def test_a_real_volume_is_judged_by_metrics_that_need_no_truth(tmp_path):
    path = write_subject(tmp_path / "thick.nii.gz", array=rough(shape=(8, 20, 22)), spacing=(1.0, 1.0, 3.0))
    protocol = protocol_of(tmp_path, metrics=("psnr", "consistency", "ripple"))

    cells = cells_of(task_of(Source(path, "thick.nii.gz"), protocol, real=True))

    assert [cell.place for cell in cells] == [Place("thick", "1x1x3", "real", name) for name in ("cubic", "back")]
    found = numbers(cells)
    assert {metric for _, metric, _ in found} == {"consistency", "ripple"}
    assert found["back", "consistency", "volume"] > found["cubic", "consistency", "volume"]


def test_the_truth_itself_is_judged_by_metrics_that_need_no_reference(subject, tmp_path):
    protocol = protocol_of(
        tmp_path, metrics=("psnr", "ripple"), scales=((1.0, 1.0, 3.0),), methods=(CUBIC, Method("truth", "truth"))
    )

    found = numbers(cells_of(task_of(subject, protocol)))

    assert found["truth", "ripple", "volume"] == slice_ripple(read_volume(subject.path).array, 0, 20 / 7)
    assert ("truth", "psnr", "volume") not in found


def test_volumes_for_pictures_are_kept_and_computed_again_if_deleted(subject, tmp_path):
    task = task_of(subject, protocol_of(tmp_path, methods=(CUBIC,)), pictured=True)
    truth, cubic = cells_of(task)
    np.testing.assert_array_equal(read_volume(truth.picture).array, read_volume(subject.path).array)
    before = read_volume(cubic.picture).array
    cubic.picture.unlink()

    _, again = cells_of(task)

    assert again.computed
    np.testing.assert_array_equal(read_volume(again.picture).array, before)
