"""Recipes: every shipped one is valid, and mistakes are refused by name before anything is read."""

from pathlib import Path

import pytest

import ArSSRLib.training.recipes as recipes_package
from ArSSRLib.errors import ArSSRError
from ArSSRLib.training.cli import refuse_shared_subjects
from ArSSRLib.training.config import TrainingConfig, read_recipe

RECIPES = sorted(Path(recipes_package.__path__[0]).glob("*.toml"))
MINIMAL = 'training_data = "a"\nvalidation_data = "b"\noutput = "c"\n[model]\nkind = "arssr2"\n'


def written(tmp_path, text):
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_is_valid(path):
    assert read_recipe(path).steps > 0


def test_there_is_a_recipe_for_the_bundled_model():
    assert "arssr2_cpu" in [path.stem for path in RECIPES]


def test_an_override_replaces_a_value_of_the_recipe_or_of_its_model(tmp_path):
    config = read_recipe(written(tmp_path, MINIMAL), ["steps=777", "model.blocks=3", "output=elsewhere"])

    assert (config.steps, config.model.blocks, config.output) == (777, 3, Path("elsewhere"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("stepz = 3\n" + MINIMAL, "stepz"),
        ("steps = 'many'\n" + MINIMAL, "steps"),
        ("scale_range = [4, 2]\n" + MINIMAL, "scale_range"),
        ("scale_range = [0.5, 2]\n" + MINIMAL, "scale_range"),
        ("margin = 10\npatch_size = 20\n" + MINIMAL, "margin"),
        (MINIMAL + "layers = 3\n", "layers"),
        ('output = "c"\n[model]\nkind = "arssr2"\n', "training_data"),
        ("= = =", "TOML"),
    ],
)
def test_a_mistake_in_a_recipe_is_refused_by_name(tmp_path, text, reason):
    with pytest.raises(ArSSRError, match=reason):
        read_recipe(written(tmp_path, text))


def test_a_missing_recipe_is_refused(tmp_path):
    with pytest.raises(ArSSRError, match=r"nowhere\.toml"):
        read_recipe(tmp_path / "nowhere.toml")


def test_a_subject_in_both_folders_is_refused(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "sub-01.nii.gz").touch()
    config = read_recipe(written(tmp_path, MINIMAL))
    config = TrainingConfig(**{**config.__dict__, "training_data": tmp_path / "a", "validation_data": tmp_path / "b"})

    with pytest.raises(ArSSRError, match=r"sub-01\.nii\.gz"):
        refuse_shared_subjects(config)
