"""A configuration is stored and read unchanged, and a malicious one is refused before anything is allocated."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest

from ArSSRLib.errors import InputError
from ArSSRLib.model.arssr import ArSSRConfig
from ArSSRLib.model.arssr2 import ArSSR2Config
from ArSSRLib.model.fixed_scale import FixedScaleConfig
from ArSSRLib.model.registry import build_model, model_config_from_dict, model_config_from_json


@pytest.mark.parametrize(
    "config",
    [
        ArSSRConfig(encoder="ResCNN", feature_channels=32, decoder_depth=3, decoder_width=64),
        ArSSR2Config(channels=8, blocks=2, feature_channels=16, decoder_layers=3, max_scale=4.5),
        FixedScaleConfig(kind="dcsrn", scale=3.5),
    ],
)
def test_a_configuration_is_read_back_from_json(config):
    assert model_config_from_json(config.to_json()) == config


def test_omitted_values_have_their_defaults():
    assert model_config_from_dict({"kind": "arssr2", "channels": 8}) == dataclasses.replace(ArSSR2Config(), channels=8)


def test_the_published_network_is_the_default():
    assert ArSSRConfig() == ArSSRConfig(encoder="RDN", feature_channels=128, decoder_depth=4, decoder_width=256)


def test_an_integer_is_accepted_as_a_floating_point_number():
    config = model_config_from_json('{"kind": "arssr2", "max_scale": 4}')

    assert isinstance(config.max_scale, float)


def test_an_unknown_key_is_refused_and_named():
    with pytest.raises(InputError, match="colour"):
        model_config_from_dict({"kind": "arssr2", "colour": "red"})


@pytest.mark.parametrize("kind", [None, "arssr9", 2, ["arssr"]])
def test_an_unknown_kind_is_refused(kind):
    with pytest.raises(InputError, match="arssr, arssr2"):
        model_config_from_dict({"kind": kind})


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("arssr", "encoder", "VGG"),
        ("arssr", "encoder", 3),
        ("arssr", "feature_channels", 0),
        ("arssr", "decoder_width", 10**9),
        ("arssr", "decoder_depth", 1),
        ("arssr2", "channels", 10**9),
        ("arssr2", "blocks", -1),
        ("arssr2", "blocks", 2.5),
        ("arssr2", "feature_channels", True),
        ("arssr2", "decoder_layers", "2"),
        ("arssr2", "max_scale", float("nan")),
        ("arssr2", "max_scale", float("inf")),
        ("arssr2", "max_scale", 0.5),
        ("rescnn", "scale", 0.5),
        ("rescnn", "scale", 17),
        ("rescnn", "scale", "2"),
    ],
)
def test_an_impossible_value_is_refused_and_named(kind, key, value):
    with pytest.raises(InputError, match=key):
        model_config_from_dict({"kind": kind, key: value})


def test_a_configuration_with_the_kind_of_another_network_is_refused():
    with pytest.raises(InputError, match="kind"):
        ArSSR2Config(kind="arssr")
    with pytest.raises(InputError, match="FixedScaleConfig describes srcnn3d, dcsrn, rescnn"):
        FixedScaleConfig(kind="arssr")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '"arssr"', "[" * 100000])
def test_text_that_is_not_a_configuration_is_refused_in_one_short_line(text):
    with pytest.raises(InputError) as caught:
        model_config_from_json(text)

    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("config", [ArSSRConfig(encoder="ResCNN"), ArSSR2Config(channels=8, blocks=1)])
def test_a_model_keeps_its_configuration(config):
    assert build_model(config).config is config


def test_the_kind_comes_first_in_json():
    assert next(iter(json.loads(ArSSR2Config().to_json()))) == "kind"


def test_a_configuration_needs_no_pytorch():
    code = "import sys; from ArSSRLib.model.config import ModelConfig; ModelConfig.KINDS; print('torch' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
