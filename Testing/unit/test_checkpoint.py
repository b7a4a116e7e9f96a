"""Checkpoints are read as they were written; invalid files are refused, and nothing in a file is executed."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import save_file

from ArSSRLib.checkpoint import convert_checkpoint, load_model, read_metadata, save_model
from ArSSRLib.checkpoint import files as files_room
from ArSSRLib.errors import CheckpointError, DeviceError, InputError, OutputError
from ArSSRLib.model.arssr import ArSSRConfig
from ArSSRLib.model.arssr2 import ArSSR2Config
from ArSSRLib.model.registry import build_model

SMALL = ArSSR2Config(channels=4, blocks=1, feature_channels=8, decoder_layers=2)


@pytest.fixture(scope="module")
def model():
    return build_model(SMALL).eval()


@pytest.fixture(scope="module")
def published():
    """A published network with a decoder of an unusual size."""
    return build_model(ArSSRConfig(encoder="ResCNN", feature_channels=5, decoder_depth=3, decoder_width=7)).eval()


@pytest.fixture
def saved(model, tmp_path):
    return save_model(model, tmp_path / "small.safetensors", metadata={"title": "Small", "steps": "12"})


def equal(first, second):
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def expect_refusal(path, *words):
    """Check that a file is refused in one line that names it and contains the text."""
    with pytest.raises(CheckpointError) as caught:
        load_model(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    assert str(path) in message
    for word in words:
        assert word in message


# --- the project's format ---


def test_a_saved_model_is_loaded_unchanged(model, saved):
    found = load_model(saved)

    assert found.config == SMALL
    assert equal(found, model)
    assert not found.training


def test_a_saved_published_network_is_loaded_unchanged(published, tmp_path):
    found = load_model(save_model(published, tmp_path / "published.safetensors", metadata={}))

    assert found.config == published.config
    assert equal(found, published)


def test_a_model_states_its_file(saved):
    found = load_model(saved)

    assert (found.name, found.sha256) == ("small", hashlib.sha256(saved.read_bytes()).hexdigest())


def test_a_loaded_model_can_be_trained_further(saved):
    found = load_model(saved).train()

    found.query(found.encode(torch.rand(1, 1, 4, 4, 4)), torch.zeros(1, 3, 3)).sum().backward()

    assert all(p.requires_grad for p in found.parameters())
    assert found.output.weight.grad is not None


def test_a_loaded_model_does_not_need_its_file(model, saved):
    found = load_model(saved)
    saved.write_bytes(b"\0" * saved.stat().st_size)

    assert equal(found, model)


def test_free_text_in_the_metadata_is_kept(saved):
    assert read_metadata(saved) == {"title": "Small", "steps": "12"}


def test_half_precision_weights_become_single_precision(model, tmp_path):
    halved = {key: tensor.bfloat16() for key, tensor in model.state_dict().items()}
    header = {"arssr_format": "1", "arssr_config": SMALL.to_json()}
    save_file(halved, tmp_path / "half.safetensors", header)

    assert {t.dtype for t in load_model(tmp_path / "half.safetensors").state_dict().values()} == {torch.float32}


def test_writing_replaces_the_file_and_leaves_no_other_files(model, saved):
    save_model(model, saved, metadata={"title": "Second"})

    assert read_metadata(saved)["title"] == "Second"
    assert list(saved.parent.iterdir()) == [saved]


@pytest.mark.parametrize("step", ["os.fsync", "Path.replace"])
def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(model, saved, monkeypatch, step):
    before = saved.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"{files_room.__name__}.{step}", full)
    with pytest.raises(OutputError, match="No space left"):
        save_model(model, saved, metadata={})

    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_a_missing_folder_is_an_output_error(model, tmp_path):
    with pytest.raises(OutputError, match="check the folder"):
        save_model(model, tmp_path / "nowhere" / "model.safetensors", metadata={})


def test_another_suffix_is_refused(model, tmp_path):
    with pytest.raises(OutputError, match="safetensors"):
        save_model(model, tmp_path / "model.pt", metadata={})


def test_metadata_cannot_replace_the_configuration(model, tmp_path):
    with pytest.raises(InputError, match="arssr_config"):
        save_model(model, tmp_path / "model.safetensors", metadata={"arssr_config": "{}"})


# --- the format of the paper's authors ---


@pytest.mark.parametrize("encoder", ["RDN", "ResCNN", "SRResNet"])
@pytest.mark.parametrize(("channels", "depth", "width"), [(6, 2, 9), (3, 5, 4)])
def test_the_network_is_identified_by_the_authors_keys_and_shapes(tmp_path, encoder, channels, depth, width):
    config = ArSSRConfig(encoder=encoder, feature_channels=channels, decoder_depth=depth, decoder_width=width)
    torch.save(build_model(config).state_dict(), tmp_path / "authors.pkl")

    assert load_model(tmp_path / "authors.pkl").config == config


@pytest.mark.parametrize("archive", [True, False])
def test_both_archive_formats_of_pytorch_are_read(published, tmp_path, archive):
    torch.save(published.state_dict(), tmp_path / "authors.pkl", _use_new_zipfile_serialization=archive)

    assert equal(load_model(tmp_path / "authors.pkl"), published)


def test_a_checkpoint_of_a_data_parallel_wrapper_is_read(published, tmp_path):
    wrapped = OrderedDict((f"module.{key}", tensor) for key, tensor in published.state_dict().items())
    torch.save(wrapped, tmp_path / "authors.pkl")

    assert equal(load_model(tmp_path / "authors.pkl"), published)


def test_converting_keeps_every_weight_and_records_the_source(published, tmp_path):
    source = tmp_path / "authors.pkl"
    torch.save(published.state_dict(), source)

    target = convert_checkpoint(source, tmp_path / "ours.safetensors")

    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert equal(load_model(target), published)
    assert read_metadata(target) == {"source": "authors.pkl", "source_sha256": digest}


def test_converting_replaces_a_file_only_when_allowed(published, saved, tmp_path):
    source = tmp_path / "authors.pkl"
    torch.save(published.state_dict(), source)
    before = saved.read_bytes()

    with pytest.raises(OutputError, match="already exists"):
        convert_checkpoint(source, saved)
    assert saved.read_bytes() == before

    convert_checkpoint(source, saved, overwrite=True)
    assert equal(load_model(saved), published)


def test_converting_never_replaces_the_source(saved):
    with pytest.raises(OutputError, match="is the source"):
        convert_checkpoint(saved, saved, overwrite=True)


def test_converting_safetensors_is_refused(saved, tmp_path):
    with pytest.raises(CheckpointError, match="already"):
        convert_checkpoint(saved, tmp_path / "again.safetensors")


# --- unusable files ---


def test_a_missing_file_is_refused(tmp_path):
    expect_refusal(tmp_path / "nothing.safetensors", "does not exist")


def test_a_file_name_that_is_too_long_is_refused():
    with pytest.raises(CheckpointError):
        load_model("x" * 5000)


def test_a_folder_is_refused(tmp_path):
    expect_refusal(tmp_path, "is a folder")


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"", "empty"), (b"hello, this is text\n", "first bytes"), (b"{}", "first bytes"), (b"PK", "damaged")],
)
def test_a_file_that_is_not_a_checkpoint_is_refused(tmp_path, content, word):
    (tmp_path / "model.safetensors").write_bytes(content)

    expect_refusal(tmp_path / "model.safetensors", word)


@pytest.mark.parametrize("part", [0.001, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["ours", "archive", "legacy"])
def test_a_truncated_file_is_refused(saved, published, tmp_path, kind, part):
    path = saved
    if kind != "ours":
        path = tmp_path / "authors.pkl"
        torch.save(published.state_dict(), path, _use_new_zipfile_serialization=kind == "archive")
    content = path.read_bytes()
    path.write_bytes(content[: max(12, int(len(content) * part))])

    expect_refusal(path, "damaged")


class Trap:
    """An object whose pickle creates a file when it is loaded without restrictions."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path, writer):
    path, trace = tmp_path / "model.pkl", tmp_path / "it ran"
    if writer == "torch":
        torch.save({"encoder.sfe1.weight": Trap(trace)}, path)
    else:
        path.write_bytes(pickle.dumps(Trap(trace)))

    expect_refusal(path, "no code in it was run")
    assert not trace.exists()


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ([torch.zeros(2)], "list"),
        ({}, "dict"),
        ({"epoch": 3}, "int"),
        ({3: torch.zeros(2)}, "3"),
        ({"model": {"a": torch.zeros(2)}}, "dict"),
        ({"weight": torch.zeros(2)}, "none of the published encoders"),
        ({"weight": torch.zeros(2, device="meta")}, "not part of weights"),
        ({"encoder.sfe1.weight": torch.zeros(2)}, "none of the published encoders"),
    ],
)
def test_a_pickle_without_weights_is_refused(tmp_path, content, word):
    torch.save(content, tmp_path / "model.pkl")

    expect_refusal(tmp_path / "model.pkl", word)


def rewritten(path, change, header=None):
    """Write the weights of ``path`` again after applying ``change``."""
    state = {key: tensor.clone() for key, tensor in load_model(path).state_dict().items()}
    change(state)
    save_file(state, path, header or {"arssr_format": "1", "arssr_config": SMALL.to_json()})
    return path


def test_a_missing_weight_is_refused_and_named(saved):
    expect_refusal(rewritten(saved, lambda state: state.pop("head.bias")), "lacks head.bias")


def test_an_unknown_weight_is_refused_and_named(saved):
    expect_refusal(rewritten(saved, lambda state: state.update(extra=torch.zeros(1))), '"extra"')


def test_a_weight_of_another_shape_is_refused_with_both_shapes(saved):
    path = rewritten(saved, lambda state: state.update({"head.bias": torch.zeros(5)}))

    expect_refusal(path, "head.bias", "(5,)", "(4,)")


def test_weights_of_another_encoder_under_the_authors_keys_are_refused(published, tmp_path):
    state = published.state_dict()
    state.pop("encoder.block2.4.weight")
    torch.save(state, tmp_path / "authors.pkl")

    expect_refusal(tmp_path / "authors.pkl", "lacks encoder.block2.4.weight")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nonfinite_weights_are_refused(saved, value):
    expect_refusal(rewritten(saved, lambda state: state["head.bias"].fill_(value)), "head.bias", "NaN")


def test_integer_weights_are_refused(saved):
    expect_refusal(
        rewritten(saved, lambda state: state.update({"head.bias": torch.zeros(4, dtype=torch.int64)})), "int64"
    )


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"title": "Another program's"}, ["arssr_format"]),
        ({"arssr_format": "1"}, ["arssr_config"]),
        ({"arssr_format": "2", "arssr_config": "{}"}, ['"2"', "update"]),
        ({"arssr_format": "1", "arssr_config": "{"}, ["JSON"]),
        ({"arssr_format": "1", "arssr_config": '{"kind": "arssr9"}'}, ["arssr9"]),
        ({"arssr_format": "1", "arssr_config": '{"kind": "arssr2", "colour": 1}'}, ["colour"]),
    ],
)
def test_an_unknown_header_is_refused(saved, header, words):
    expect_refusal(rewritten(saved, lambda state: None, header), *words)


def test_a_header_that_requires_gigabytes_is_refused_before_building_a_network(saved, monkeypatch):
    config = json.dumps({"kind": "arssr2", "channels": 10**6})
    path = rewritten(saved, lambda state: None, {"arssr_format": "1", "arssr_config": config})
    monkeypatch.setattr(files_room, "build_model", lambda _: pytest.fail("a network was built"))

    expect_refusal(path, "channels", "1000000")


def test_shapes_are_compared_before_weights_are_read(saved, monkeypatch):
    config = json.dumps({"kind": "arssr2", "channels": 5, "blocks": 1, "feature_channels": 8})
    path = rewritten(saved, lambda state: None, {"arssr_format": "1", "arssr_config": config})
    monkeypatch.setattr(files_room, "checked_tensor", lambda *_: pytest.fail("a weight was read"))

    expect_refusal(path, "of shape", "more")


def test_loading_does_not_change_the_random_state(saved):
    torch.manual_seed(8)
    expected = torch.rand(3)
    torch.manual_seed(8)

    load_model(saved)

    assert torch.equal(torch.rand(3), expected)


def test_a_missing_device_is_refused(saved):
    with pytest.raises(DeviceError):
        load_model(saved, device="abacus")
