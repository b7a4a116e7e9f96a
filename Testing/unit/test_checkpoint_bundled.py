"""The bundled models are found by name, and refused if their checksum is wrong."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from ArSSRLib.checkpoint import bundled, load_model, registry, save_model, verify
from ArSSRLib.errors import CheckpointError


@pytest.fixture
def weights_folder(monkeypatch, tmp_path, tiny_model):
    """A registry with one model, in place of the bundled one."""
    folder = tmp_path / "weights"
    folder.mkdir()
    save_model(tiny_model, folder / "brain.safetensors", metadata={})
    digest = hashlib.sha256((folder / "brain.safetensors").read_bytes()).hexdigest()
    (folder / "brain.md").write_text("# Brain\n", encoding="utf-8")
    (folder / "registry.toml").write_text(
        f'[[models]]\nname = "brain"\ntitle = "Brains"\nfile = "brain.safetensors"\nsha256 = "{digest}"\n'
        'license = "Apache-2.0"\ncard = "brain.md"\ncontrast = "T1w"\n'
        "trained_scales = [1, 4]\ntrained_thick_scale = 8\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(bundled, "_weights_folder", lambda: folder)
    return folder


def test_a_bundled_model_is_loaded_by_its_name(weights_folder, tiny_model):
    found = load_model("brain")

    assert all(torch.equal(found.state_dict()[key], tensor) for key, tensor in tiny_model.state_dict().items())
    assert (found.name, found.sha256) == ("brain", registry()[0].sha256)


@pytest.mark.parametrize(
    ("factors", "covered"),
    [
        ((4, 4, 4), True),
        ((1, 1, 8), True),
        ((8, 1, 4), True),
        ((5, 5, 1), False),
        ((1, 9, 1), False),
        ((8, 8, 8), False),
    ],
)
def test_a_model_has_the_range_of_scales_of_its_training(weights_folder, factors, covered):
    (entry,) = registry()

    assert entry.covers(factors) is covered


def test_an_entry_describes_its_model(weights_folder):
    (entry,) = registry()

    assert (entry.title, entry.license, entry.contrast, entry.trained_scales) == ("Brains", "Apache-2.0", "T1w", (1, 4))
    assert entry.card_text() == "# Brain\n"
    assert verify(entry) == weights_folder / "brain.safetensors"


def test_changed_weights_are_refused_by_their_checksum(weights_folder):
    with (weights_folder / "brain.safetensors").open("ab") as file:
        file.write(b"\0")

    with pytest.raises(CheckpointError, match="SHA-256"):
        load_model("brain")


def test_missing_weights_are_refused(weights_folder):
    (weights_folder / "brain.safetensors").unlink()

    with pytest.raises(CheckpointError, match="missing"):
        load_model("brain")


def test_a_missing_card_is_refused(weights_folder):
    (weights_folder / "brain.md").unlink()

    with pytest.raises(CheckpointError, match="card of model brain"):
        registry()[0].card_text()


def test_an_unknown_name_is_refused_with_the_known_and_the_closest(weights_folder):
    with pytest.raises(CheckpointError, match=r"the models are brain\. Did you mean brain\?"):
        load_model("brian")


def test_a_file_is_not_mistaken_for_a_name(weights_folder, tiny_model, monkeypatch, tmp_path):
    save_model(tiny_model, tmp_path / "small.safetensors", metadata={})
    monkeypatch.chdir(tmp_path)

    assert load_model("small.safetensors").name == "small"


def test_a_name_is_not_mistaken_for_a_file(weights_folder, monkeypatch, tmp_path):
    (tmp_path / "brain").write_text("no weights", encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    assert load_model("brain").name == "brain"


@pytest.mark.parametrize("text", ["models = 3", "[[models]]\nname = 'x'", "[[", "[[models]]\nname = 'x'\ncolour = 1"])
def test_a_damaged_registry_is_refused(weights_folder, text):
    (weights_folder / "registry.toml").write_text(text, encoding="utf-8")

    with pytest.raises(CheckpointError, match="reinstall ArSSR"):
        registry()


def test_every_bundled_model_is_complete():
    for entry in registry():
        assert verify(entry).stat().st_size < 8e6
        assert entry.card_text().startswith("# ")
        assert load_model(entry.name).sha256 == entry.sha256


def test_every_bundled_file_is_registered():
    folder = Path(bundled.__file__).parents[1] / "weights"

    assert {path.name for path in folder.glob("*.safetensors")} == {entry.file for entry in registry()}
