"""The user's own models are verified and imported, used by name, and removed completely."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from ArSSRLib.checkpoint import bundled, import_model, imported_models, load_model
from ArSSRLib.cli import main
from ArSSRLib.errors import CheckpointError, InputError, OutputError
from ArSSRLib.model.arssr import ArSSRConfig
from ArSSRLib.model.registry import build_model


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(bundled.FOLDER_VARIABLE, str(tmp_path / "models"))
    return tmp_path / "models"


def test_an_imported_file_is_available_by_its_name(folder, tiny_weights, capsys):
    assert main(["models", "import", str(tiny_weights), "--as", "mine"]) == 0
    assert "--model mine" in capsys.readouterr().out

    mine, original = load_model("mine"), load_model(tiny_weights)
    assert all(torch.equal(mine.state_dict()[key], value) for key, value in original.state_dict().items())
    assert mine.name == "mine"
    assert main(["models"]) == 0
    assert "mine" in capsys.readouterr().out


def test_the_name_of_the_file_is_the_name_of_the_model(folder, tiny_weights):
    assert import_model(tiny_weights).name == "tiny"


def test_a_checkpoint_of_the_authors_becomes_safetensors(folder, tmp_path):
    torch.save(build_model(ArSSRConfig(encoder="ResCNN", decoder_width=8)).state_dict(), tmp_path / "theirs.pkl")

    assert import_model(tmp_path / "theirs.pkl").path.read_bytes()[8:9] == b"{"
    assert load_model("theirs").config.decoder_width == 8


def test_changed_weights_in_the_models_folder_are_refused(folder, tiny_weights):
    path = import_model(tiny_weights).path
    path.write_bytes(path.read_bytes() + b"\0")

    with pytest.raises(CheckpointError, match="SHA-256"):
        load_model("tiny")


def test_no_module_that_opens_connections_is_loaded():
    code = (
        "import sys\nfrom ArSSRLib.checkpoint import load_model\nload_model('arssr2')\n"
        "import ArSSRLib.commands.upsample, ArSSRLib.worker.volumes\n"
        "print({'pooch', 'requests', 'urllib3'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"


def test_a_file_that_is_not_a_model_is_not_imported(folder, tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")

    with pytest.raises(CheckpointError):
        import_model(tmp_path / "bad.safetensors")
    assert not folder.exists()


@pytest.mark.parametrize(
    "name", ["arssr2", "ARSSR2", "../escape", "a/b", "", ".hidden", "x" * 65, "con", "m.pkl", "a b"]
)
def test_an_invalid_name_is_refused(folder, tiny_weights, name):
    with pytest.raises(InputError, match="--as"):
        import_model(tiny_weights, name=name)
    assert not folder.exists()


def test_a_name_that_is_already_used_is_refused(folder, tiny_weights):
    import_model(tiny_weights, name="mine")

    with pytest.raises(InputError, match="already"):
        import_model(tiny_weights, name="Mine")


def test_changed_imported_weights_are_refused(folder, tiny_weights):
    path = import_model(tiny_weights).path
    path.write_bytes(path.read_bytes()[:-1] + b"\7")

    with pytest.raises(CheckpointError, match="SHA-256"):
        load_model("tiny")


def test_a_removed_model_leaves_nothing(folder, tiny_weights, capsys):
    import_model(tiny_weights)

    assert main(["models", "remove", "tiny"]) == 0
    assert os.listdir(folder) == []
    with pytest.raises(CheckpointError, match="no model"):
        load_model("tiny")


@pytest.mark.parametrize("name", ["arssr2", "nonsense", "./file.safetensors"])
def test_a_file_that_was_not_imported_is_not_removed(folder, name, capsys):
    assert main(["models", "remove", name]) == 2
    assert load_model("arssr2").name == "arssr2"


def test_a_damaged_description_hides_only_its_model(folder, tiny_weights):
    import_model(tiny_weights, name="good")
    for number, text in enumerate(
        ['{"title": "x"}', "[", '{"title": 1, "sha256": 5, "largest_scale": "x"}', "[" * 9999]
    ):
        (folder / f"bad{number}.json").write_text(text)

    assert [entry.name for entry in imported_models()] == ["good"]


def test_a_models_folder_without_permission_is_an_output_error(tmp_path, tiny_weights, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv(bundled.FOLDER_VARIABLE, str(tmp_path / "file" / "models"))

    with pytest.raises(OutputError, match="cannot be created"):
        import_model(tiny_weights)


@pytest.mark.parametrize("arguments", [["import"], ["remove"], ["list", "--as", "x"]])
def test_a_command_without_its_operand_is_refused(arguments, capsys):
    assert main(["models", *arguments]) == 2
    assert "\n" not in capsys.readouterr().err.strip()
