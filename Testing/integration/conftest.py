"""Fixtures of the tests from file to file."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from ArSSRLib import write_volume
from ArSSRLib.checkpoint import save_model
from ArSSRLib.cli import main
from ArSSRLib.model.arssr2 import ArSSR2Config
from ArSSRLib.model.registry import build_model


@pytest.fixture(scope="session")
def load_script():
    """Return a function that loads a script of ``Testing/demo``, which is no package, as a module."""

    def load(name):
        path = Path(__file__).parents[1] / "demo" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def brain(phantom, tmp_path):
    return write_volume(phantom, tmp_path / "brain.nii.gz")


@pytest.fixture
def arssr(tiny_weights):
    """Run ``arssr upsample`` with the tiny model on the CPU."""

    def run(source, target, *arguments):
        options = arguments if "--model" in arguments else (*arguments, "--model", str(tiny_weights))
        try:
            return main(["upsample", str(source), str(target), "--device", "cpu", *options])
        except SystemExit as leaving:
            return leaving.code

    return run


@pytest.fixture(scope="session")
def plain_weights(tmp_path_factory):
    """A new network, whose residual is still zero, so that it returns cubic interpolation."""
    model = build_model(ArSSR2Config(channels=4, blocks=1, feature_channels=8, decoder_layers=2))
    return save_model(model, tmp_path_factory.mktemp("weights") / "plain.safetensors", metadata={})


@pytest.fixture
def assert_refused(capsys):
    """Verify that a run ended with one line on stderr and exit code 2, without any output, complete or partial."""

    def check(code, target, *words):
        printed = capsys.readouterr()
        assert code == 2
        assert printed.out == ""
        errors = [line for line in printed.err.splitlines() if not line.startswith("arssr: warning: ")]
        assert len(errors) == 1
        assert errors[0].startswith("arssr: error: ")
        assert "Traceback" not in printed.err
        assert "defect" not in printed.err
        for word in words:
            assert word in errors[0]
        assert not target.is_file()
        left = [path.name for path in target.parent.glob("*") if "arssr-" in path.name or "partial" in path.name]
        assert left == []

    return check
