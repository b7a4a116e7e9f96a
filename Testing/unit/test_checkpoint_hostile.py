"""Malicious weights files are refused before anything in them is executed or allocated."""

from __future__ import annotations

import json
import pickle
import pickletools
import zipfile

import messages
import pytest
import torch

from ArSSRLib.checkpoint import formats, load_model, save_model
from ArSSRLib.errors import CheckpointError
from ArSSRLib.model.arssr import ArSSRConfig
from ArSSRLib.model.registry import build_model

# A byte array of ten billion bytes, which PyTorch considers safe.
BYTE_ARRAY = b"\x80\x02c__builtin__\nbytearray\n\x8a\x05\x00\xe4\x0b\x54\x02\x85R."


@pytest.fixture
def authors(tmp_path):
    """A checkpoint of the authors, as an archive."""
    path = tmp_path / "model.pkl"
    torch.save(build_model(ArSSRConfig(encoder="ResCNN", decoder_width=4)).state_dict(), path)
    return path


def refusal(path) -> str:
    """Return the one-line refusal of a file, after checking that it needed less than 20 MB."""
    return messages.refusal(load_model, path, CheckpointError, most_bytes=path.stat().st_size * 3 + 20e6)


def rebuilt(path, *, compression=zipfile.ZIP_STORED, **replaced: bytes):
    """Write an archive again with other records; data_pkl is the name for data.pkl."""
    with zipfile.ZipFile(path) as archive:
        records = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in records.items():
            archive.writestr(name, replaced.get(name.rsplit("/", 1)[-1].replace(".", "_"), content))
    return path


def test_an_archive_that_unpacks_to_gigabytes_is_refused(authors):
    rebuilt(authors, compression=zipfile.ZIP_DEFLATED)

    assert "compressed record" in refusal(authors)


def test_a_pickle_that_allocates_a_large_byte_array_is_refused(authors):
    rebuilt(authors, data_pkl=BYTE_ARRAY)

    assert "bytearray" in refusal(authors)


def test_the_same_pickle_in_the_format_before_torch_1_6_is_refused(tmp_path):
    path = tmp_path / "model.pkl"
    head = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001}]
    path.write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in head) + BYTE_ARRAY)

    assert "bytearray" in refusal(path)


def test_a_storage_larger_than_the_file_is_refused(tmp_path):
    path = tmp_path / "model.pkl"
    torch.save({"weight": torch.zeros(123457)}, path, _use_new_zipfile_serialization=False)
    claimed = (1_000_000_000).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace((123457).to_bytes(4, "little"), claimed))

    assert "larger than the whole file" in refusal(path)


def test_a_number_of_hundreds_of_digits_is_refused(authors):
    # Found by fuzzing: the number is too large for the conversion to floating point in a message.
    rebuilt(authors, data_pkl=pickle.dumps({"weight": 10**400}, protocol=2))

    assert "larger than the whole file" in refusal(authors)


@pytest.mark.parametrize("protocol", [4, 5])
def test_a_class_named_on_the_stack_of_the_pickle_is_refused(authors, protocol):
    content = pickle.dumps({"weight": complex(1, 2)}, protocol=protocol)
    assert "STACK_GLOBAL" in {instruction.name for instruction, _, _ in pickletools.genops(content)}
    rebuilt(authors, data_pkl=content)

    assert "STACK_GLOBAL" in refusal(authors)


def test_two_sets_of_weights_in_one_archive_are_refused(authors):
    with zipfile.ZipFile(authors, "a") as archive:
        archive.writestr("other/data.pkl", BYTE_ARRAY)

    assert "2 lists of weights" in refusal(authors)


def test_an_excessively_large_header_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    header = json.dumps({"__metadata__": {"text": "x" * 2_000_000}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)

    assert "a header of 2,000,0" in refusal(path)


@pytest.mark.parametrize("length", [2**63, 2**40, 10**8 + 1])
def test_a_header_longer_than_the_file_is_refused(tmp_path, length):
    path = tmp_path / "model.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + b'{"a":1}' * 100)

    assert "damaged or truncated" in refusal(path)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]},
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [2**63, 2], "data_offsets": [0, 0]},
        {"dtype": "F9", "shape": [1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]},
    ],
)
def test_a_tensor_larger_than_the_file_is_refused(tmp_path, entry):
    path = tmp_path / "model.safetensors"
    header = json.dumps({"head.weight": entry}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)

    assert "damaged" in refusal(path)


def test_a_file_larger_than_any_network_is_refused_without_reading(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.truncate(formats.MAXIMUM_FILE_BYTES + 1)  # sparse: needs no disk space
    monkeypatch.setattr("pathlib.Path.read_bytes", lambda _: pytest.fail("the file was read"))

    assert "GB allowed" in refusal(path)


def test_the_verified_content_is_used_even_if_the_file_changes(tiny_model, tmp_path, monkeypatch):
    path = save_model(tiny_model, tmp_path / "model.safetensors", metadata={})
    build = build_model

    def swapped(config):
        path.write_bytes(b"something else")
        return build(config)

    monkeypatch.setattr("ArSSRLib.checkpoint.files.build_model", swapped)
    found = load_model(path)

    assert all(torch.equal(found.state_dict()[key], value) for key, value in tiny_model.state_dict().items())
    assert found.sha256 != formats.hashlib.sha256(path.read_bytes()).hexdigest()
