"""The bundled weights match the registry, and are better than interpolation and back-projection."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from ArSSRLib.checkpoint import DEFAULT_MODEL, load_model, registry, verify
from ArSSRLib.resampling import resample_isotropic
from ArSSRLib.training.dataset import load_normalized
from ArSSRLib.training.validation import SETTINGS, make_case, score_case

VALIDATION = Path(__file__).resolve().parents[3] / "shared" / "data" / "val"


@pytest.fixture(scope="module")
def truth():
    """The middle of a real brain that the model was not trained on, at 1.2 mm, normalized."""
    files = sorted(VALIDATION.glob("*.nii.gz"))
    if not files:
        pytest.skip("the validation volumes of shared/data are not beside this project")
    array = resample_isotropic(load_normalized(files[-1]), 1.2).array
    middle = tuple(slice((n - 72) // 2, (n - 72) // 2 + 72) for n in array.shape)
    return np.ascontiguousarray(array[middle])


@pytest.mark.parametrize("entry", registry(), ids=lambda entry: entry.name)
def test_every_bundled_model_is_the_one_that_was_registered_and_has_a_card(entry):
    assert verify(entry).stat().st_size < 10e6
    card = entry.card_text()
    for topic in ("## Data", "## Recipe", "## Validation", "not for diagnosis", entry.license):
        assert topic in card


def test_a_default_model_is_bundled():
    assert load_model(DEFAULT_MODEL).name == DEFAULT_MODEL


@pytest.mark.parametrize(("scale", "profile"), SETTINGS, ids=lambda value: re.sub(r"[^\w.]+", "-", str(value)))
def test_the_default_model_beats_cubic_and_back_projection_on_an_unseen_brain(truth, scale, profile):
    case = make_case("validation", truth, scale, profile)

    score = score_case(load_model(DEFAULT_MODEL), case, torch.device("cpu"))

    assert score.gain > 0
