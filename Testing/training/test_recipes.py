"""Recipes: every included one is valid, and mistakes are refused by name before anything is read."""

import dataclasses
import re
from pathlib import Path

import pytest

import ArSSRLib.training.recipes as recipes_package
from ArSSRLib.checkpoint import DEFAULT_MODEL, load_model
from ArSSRLib.errors import ArSSRError
from ArSSRLib.model.arssr2 import ArSSR2Config
from ArSSRLib.model.arssr3 import ArSSR3Config
from ArSSRLib.model.registry import kinds
from ArSSRLib.training.config import TrainingConfig
from ArSSRLib.training.losses import learning_rate
from ArSSRLib.training.recipe import config_from_table, read_recipe, table_of

FOLDER = Path(recipes_package.__path__[0])
RECIPES = sorted(FOLDER.glob("*.toml"))
MINIMAL = 'training_data = "a"\nvalidation_data = "b"\noutput = "c"\n[model]\nkind = "arssr2"\n'
SMALL = ArSSR2Config(channels=8)
PUBLISHED = MINIMAL.replace("arssr2", "arssr").replace("[model]", 'coordinates = "patch"\n[model]')


def written(tmp_path, text):
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_is_valid(path):
    model = ArSSR2Config() if path.stem == "fine_tune" else None

    assert read_recipe(path, model=model).steps > 0


def test_every_kind_of_network_has_a_recipe():
    described = [read_recipe(path).model.kind for path in RECIPES if path.stem != "fine_tune"]

    assert set(described) == set(kinds())


@pytest.mark.parametrize(
    ("table", "weights", "expected"),
    [
        ('kind = "arssr3"', ArSSR2Config(channels=8), ArSSR3Config(channels=8)),
        ('kind = "arssr3"\nchannels = 16\nmodulator_width = 128', SMALL, ArSSR3Config(channels=8, modulator_width=128)),
        ('kind = "arssr2"', ArSSR3Config(channels=8), ArSSR3Config(channels=8)),
        ('kind = "arssr"', SMALL, SMALL),
        ('kind = "nobody"', SMALL, SMALL),
        ("kind = []", SMALL, SMALL),
        ("", SMALL, SMALL),
    ],
)
def test_given_weights_decide_the_sizes_and_a_recipe_the_kind_if_that_can_adopt_them(
    tmp_path, table, weights, expected
):
    recipe = written(tmp_path, MINIMAL.replace('kind = "arssr2"', table))

    assert read_recipe(recipe, model=weights).model == expected


def test_an_override_decides_the_kind_before_the_recipe_does(tmp_path):
    recipe = written(tmp_path, MINIMAL.replace("arssr2", "arssr3"))

    assert read_recipe(recipe, ['model.kind="arssr2"'], model=SMALL).model == SMALL


def test_every_key_of_a_recipe_is_described_once():
    described = re.findall(r"^        (\w+): ", TrainingConfig.__doc__.partition("Raises:")[0], flags=re.MULTILINE)

    assert sorted(described) == sorted(field.name for field in dataclasses.fields(TrainingConfig))


def test_the_published_recipe_has_the_settings_of_the_paper():
    config = read_recipe(FOLDER / "published.toml")

    assert (config.batch_items, config.patch_size, config.points, config.scale_range) == (15, 10, 8000, (2.0, 4.0))
    assert (config.loss, config.steps, config.model.encoder) == ("l1", 2500 * 780 * 6 // 15, "RDN")
    assert [learning_rate(config, 200 * 312 * n) for n in range(3)] == [1e-4, 5e-5, 2.5e-5]


@pytest.mark.parametrize(
    "correction", ["alignment=centered", "degradation=mixture", "normalization=percentile", "coordinates=volume"]
)
def test_each_correction_of_the_published_recipe_has_a_key_of_its_own(correction):
    corrected = table_of(read_recipe(FOLDER / "published.toml", [correction]))

    published = table_of(read_recipe(FOLDER / "published.toml"))
    assert [key for key in published if published[key] != corrected[key]] == [correction.partition("=")[0]]


def test_hcp_is_cropped_and_padded_as_in_the_paper():
    config = read_recipe(FOLDER / "hcp1200.toml")

    assert config.crop_and_pad == (264, 264, 264)
    assert config.training_data.suffix == ".csv"


def test_an_override_replaces_a_value_of_the_recipe_or_of_its_model(tmp_path):
    config = read_recipe(written(tmp_path, MINIMAL), ["steps=777", "model.blocks=3", "output=elsewhere"])

    assert (config.steps, config.model.blocks, config.output) == (777, 3, Path("elsewhere"))


def test_a_configuration_survives_the_way_to_plain_values_and_back():
    config = read_recipe(FOLDER / "hcp1200.toml")

    assert config_from_table(table_of(config), origin="test") == config


def test_a_recipe_without_validation_data_has_none(tmp_path):
    assert read_recipe(written(tmp_path, MINIMAL.replace('"b"', '""'))).validation_data is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("stepz = 3\n" + MINIMAL, "unknown key stepz; did you mean steps"),
        ("zzz = 3\n" + MINIMAL, "unknown key zzz; the keys are training_data"),
        ("steps = 'many'\n" + MINIMAL, 'steps = "many" must be a whole number'),
        ("steps = true\n" + MINIMAL, "steps = true must be a whole number"),
        ("compile = 1\n" + MINIMAL, "compile = 1 must be true or false"),
        ("target_weights = ['a', 'b']\n" + MINIMAL, 'target_weights = "a" must be a number'),
        ("scale_range = [4, 2]\n" + MINIMAL, r"scale_range = \[4.0, 2.0\] is not valid; expected two numbers"),
        ("scale_range = [0.5, 2]\n" + MINIMAL, "scale_range"),
        ("scale_range = [2, 17]\n" + MINIMAL, "scale_range"),
        ("scale_range = [nan, 2]\n" + MINIMAL, "scale_range"),
        ("thick_scale_range = [2]\n" + MINIMAL, "thick_scale_range"),
        ("margin = 10\npatch_size = 20\n" + MINIMAL, "margin"),
        ("patch_size = 400\n" + MINIMAL, "patch_size"),
        ("warm_up_steps = 100\nsteps = 100\n" + MINIMAL, "steps"),
        ("learning_rate = 0\n" + MINIMAL, "learning_rate"),
        ("learning_rate = nan\n" + MINIMAL, "learning_rate"),
        ("noise_share = 1.5\n" + MINIMAL, "noise_share"),
        ("isotropic_share = 0.7\nthick_share = 0.7\n" + MINIMAL, "thick_share"),
        ("profile_weights = [0, 0, 0, 0]\n" + MINIMAL, "profile_weights"),
        ("target_weights = [1]\n" + MINIMAL, "target_weights"),
        ("ema_decay = 1.0\n" + MINIMAL, "ema_decay"),
        ("validate_every = 0\n" + MINIMAL, "validate_every"),
        ("crop_and_pad = [264]\n" + MINIMAL, "crop_and_pad"),
        ("self_supervised = true\n" + MINIMAL, "target_spacings"),
        ("alignment = 'corner'\n" + MINIMAL, 'alignment = "corner" is unknown; choose one of centered, endpoints'),
        ("coordinates = 'patch'\n" + MINIMAL, "coordinates"),
        (PUBLISHED.replace('"patch"', '"relative"'), "coordinates"),
        ("fixed_patches = 6\nfixed_patch_size = 20\n" + MINIMAL, "fixed_patch_size"),
        (MINIMAL + "layers = 3\n", "layers"),
        ('output = "c"\n[model]\nkind = "arssr2"\n', "training_data"),
        ('training_data = "a"\noutput = "c"\n', "--init MODEL"),
        ("= = =", "TOML"),
    ],
)
def test_a_mistake_in_a_recipe_is_refused_by_name(tmp_path, text, reason):
    with pytest.raises(ArSSRError, match=reason):
        read_recipe(written(tmp_path, text))


@pytest.mark.parametrize(("override", "reason"), [("steps", "key=value"), ("steps.blocks=3", "steps is a value")])
def test_a_mistake_in_an_override_is_refused_by_name(tmp_path, override, reason):
    with pytest.raises(ArSSRError, match=reason):
        read_recipe(written(tmp_path, "steps = 300\n" + MINIMAL), [override])


def test_a_missing_recipe_is_refused(tmp_path):
    with pytest.raises(ArSSRError, match=r"nowhere\.toml"):
        read_recipe(tmp_path / "nowhere.toml")


def test_the_default_model_fits_the_recipe_that_continues_its_training():
    model = load_model(DEFAULT_MODEL)

    config = read_recipe(FOLDER / f"{type(model).__name__.lower()}_cpu.toml", model=model.config)

    assert config.model == model.config
