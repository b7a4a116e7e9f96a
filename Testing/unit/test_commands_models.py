"""Listing, showing and verifying models, and converting checkpoints."""

from __future__ import annotations

import hashlib

import pytest

from ArSSRLib.checkpoint import DEFAULT_MODEL
from ArSSRLib.cli import main
from ArSSRLib.commands import models
from ArSSRLib.errors import CheckpointError


class Entry:
    """The part of a registry entry that `arssr models` uses."""

    def __init__(self, name, path, sha256):
        self.name, self.path, self.sha256 = name, path, sha256
        self.title, self.license, self.contrast, self.trained_scales = "For tests", "CC0-1.0", "T1w", (1.0, 4.0)
        self.trained_thick_scale = 8.0
        self.imported = False

    def card_text(self):
        return "# Card\n\nMade from nothing.\n"


@pytest.fixture
def registered(tiny_weights, monkeypatch):
    """Two models, the second of which is damaged."""
    right = hashlib.sha256(tiny_weights.read_bytes()).hexdigest()
    entries = [Entry(DEFAULT_MODEL, tiny_weights, right), Entry("other", tiny_weights, "0" * 64)]

    def verify(entry):
        if entry.sha256 != right:
            msg = f"The weights of {entry.name} are not those that were published."
            raise CheckpointError(msg)
        return entry.path

    monkeypatch.setattr(models, "registry", lambda: entries)
    monkeypatch.setattr(models, "verify", verify)
    return entries


def test_models_are_listed_and_the_default_is_named(registered, capsys):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [DEFAULT_MODEL, "other"]
    assert "(default)" in lines[0]
    assert "scales 1 to 4 (one axis to 8)" in lines[0]


def test_the_card_of_a_model_is_shown(registered, capsys):
    assert main(["models", "show", "other"]) == 0
    assert capsys.readouterr().out == "# Card\n\nMade from nothing.\n"


def test_a_wrong_checksum_is_reported_with_exit_code_1(registered, capsys):
    assert main(["models", "verify"]) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{DEFAULT_MODEL}: ")
    assert "other" in printed.err


def test_one_model_can_be_verified(registered, capsys):
    assert main(["models", "verify", DEFAULT_MODEL]) == 0
    assert registered[0].sha256 in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["show", "nonsense"], ["verify", "nonsense"], ["show"], ["list", DEFAULT_MODEL]])
def test_a_missing_or_unknown_name_is_refused_with_the_known_ones(arguments, registered, capsys):
    assert main(["models", *arguments]) == 2
    assert DEFAULT_MODEL in capsys.readouterr().err


def test_the_bundled_models_match_their_checksums(capsys):
    assert main(["models", "verify"]) == 0
    assert DEFAULT_MODEL in capsys.readouterr().out


def test_a_published_checkpoint_is_converted_to_usable_safetensors(tmp_path, capsys):
    import torch  # noqa: PLC0415

    from ArSSRLib.checkpoint import load_model  # noqa: PLC0415
    from ArSSRLib.model.arssr import ArSSRConfig  # noqa: PLC0415
    from ArSSRLib.model.registry import build_model  # noqa: PLC0415

    torch.manual_seed(3)
    model = build_model(ArSSRConfig(encoder="ResCNN"))
    torch.save(model.state_dict(), tmp_path / "published.pkl")

    assert main(["convert-checkpoint", str(tmp_path / "published.pkl"), str(tmp_path / "ours.safetensors")]) == 0

    ours = load_model(tmp_path / "ours.safetensors")
    assert ours.config == model.config
    assert all(torch.equal(ours.state_dict()[key], value) for key, value in model.state_dict().items())


def test_converting_replaces_files_only_on_request(tmp_path, tiny_weights, capsys):
    target = tmp_path / "there.safetensors"
    target.write_bytes(b"mine")

    assert main(["convert-checkpoint", str(tiny_weights), str(target)]) == 2
    assert target.read_bytes() == b"mine"
    assert "exists" in capsys.readouterr().err
