"""Settings from a TOML file have the required types, can be overridden one by one, and are refused by name."""

from pathlib import Path

import pytest

from ArSSRLib.errors import InputError
from ArSSRLib.settings import converted, read_settings, refuse_unknown


def read(tmp_path, text, overrides=()):
    path = tmp_path / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return read_settings(path, overrides, kind="recipe", example="the shipped ones")


def test_overrides_are_toml_or_text_and_can_set_nested_values(tmp_path):
    table = read(tmp_path, "steps = 3\n", ["steps=4", "output=some/where", "model.blocks=2", "scales=[1, 2.5]"])

    assert table == {"steps": 4, "output": "some/where", "model": {"blocks": 2}, "scales": [1, 2.5]}


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (3, int, 3),
        (3, float, 3.0),
        (True, bool, True),
        ("a", str, "a"),
        ("a/b", Path, Path("a/b")),
        ("", Path | None, None),
        ([1, 2.5], tuple[float, ...], (1.0, 2.5)),
    ],
)
def test_values_are_converted_to_the_declared_type(value, hint, expected):
    found = converted("key", value, hint, kind="recipe")

    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("value", "hint", "words"),
    [
        (True, int, "a whole number"),
        (1.5, int, "a whole number"),
        (1, bool, "true or false"),
        (1, str, "text"),
        ("", Path, "a path"),
        (["a"], tuple[float, ...], "a number"),
        (3, tuple[float, ...], "a list of numbers"),
    ],
)
def test_a_value_of_another_type_is_refused_and_named(value, hint, words):
    with pytest.raises(InputError, match=f"The recipe's key = .* must be {words}"):
        converted("key", value, hint, kind="recipe")


@pytest.mark.parametrize(("name", "words"), [("stepz", r"did you mean steps\?"), ("zzz", "the keys are steps, output")])
def test_an_unknown_key_is_refused_with_the_closest_one(name, words):
    with pytest.raises(InputError, match=f"a.toml has the unknown key {name}; {words}"):
        refuse_unknown([name], ["steps", "output"], origin="a.toml")


def test_a_file_that_is_not_toml_is_refused_with_a_pointer_to_the_shipped_ones(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read as a TOML recipe .*start from one in the shipped ones"):
        read(tmp_path, "= = =")
