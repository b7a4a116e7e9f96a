"""Optional models: fetched when asked, complete and as published or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys

import pytest
from model_server import serving

from ArSSRLib.checkpoint import RegistryEntry, bundled, fetch_model, load_model, registry
from ArSSRLib.checkpoint import download as download_room
from ArSSRLib.cli import main
from ArSSRLib.errors import CheckpointError, InputError, OutputError
from ArSSRLib.leftovers import hidden_name

pytest.importorskip("pooch", reason="fetching needs pooch (pip install pooch)")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The models folder, which does not exist yet; and no proxy but the test's own."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv(bundled.FOLDER_VARIABLE, str(tmp_path / "Modelle ü"))
    return tmp_path / "Modelle ü"


@pytest.fixture
def server(tiny_weights):
    with serving(tiny_weights.read_bytes()) as server:
        yield server


@pytest.fixture
def optional(server, tiny_weights, monkeypatch):
    """Return a function that registers an optional model, at the server or elsewhere."""

    def register(url: str | None = None) -> RegistryEntry:
        digest = hashlib.sha256(tiny_weights.read_bytes()).hexdigest()
        address = f"{server.address}/w" if url is None else url
        entry = RegistryEntry(
            "large", "Large", "large.safetensors", digest, "CC0-1.0", "large.md", "T1w", (1, 4), 8, url=address
        )
        for room in ("ArSSRLib.checkpoint.bundled", "ArSSRLib.checkpoint.store", "ArSSRLib.commands.models"):
            monkeypatch.setattr(f"{room}.registry", lambda: [entry])
        return entry

    return register


def assert_not_fetched(entry, folder, *words):
    """Check that a download ends in one line that says the words and the way out, and that nothing is left."""
    with pytest.raises(CheckpointError) as caught:
        fetch_model(entry)
    assert "\n" not in str(caught.value)
    for word in (*words, "arssr models import FILE"):
        assert word in str(caught.value)
    assert os.listdir(folder) == []


def test_a_model_is_fetched_when_asked_and_used_by_its_name(optional, folder, server, capsys):
    entry = optional()

    with pytest.raises(CheckpointError, match="arssr models fetch large"):
        load_model("large")
    assert server.asked == []

    assert main(["models", "fetch", "large"]) == 0
    assert load_model("large").sha256 == entry.sha256
    assert os.listdir(folder) == ["large.safetensors"]
    assert "--model large" in capsys.readouterr().out


def test_what_is_there_is_not_fetched_again(optional, folder, server):
    entry = optional()
    fetch_model(entry)
    fetch_model(entry)

    assert len(server.asked) == 1


@pytest.mark.parametrize("promised", ["whole", None])
def test_a_body_that_is_cut_short_is_refused(optional, folder, server, promised):
    server.promised = len(server.body) if promised else None
    server.body = server.body[: len(server.body) // 2]

    assert_not_fetched(optional(), folder)


def test_a_download_that_broke_off_starts_again(optional, folder, server):
    whole, entry = server.body, optional()
    server.body = whole[:100]
    assert_not_fetched(entry, folder)
    server.body = whole

    assert fetch_model(entry).read_bytes() == whole


def test_a_body_of_the_same_length_with_one_bit_changed_is_refused(optional, folder, server):
    server.body = server.body[:-1] + bytes([server.body[-1] ^ 1])

    assert_not_fetched(optional(), folder, "not what was published")


def test_a_body_without_end_is_cut_off(optional, folder, server, monkeypatch):
    monkeypatch.setattr(download_room, "MAXIMUM_FILE_BYTES", 1000)

    assert_not_fetched(optional(), folder, "more than")


def test_a_server_that_refuses_is_quoted(optional, folder, server):
    server.status = 404

    assert_not_fetched(optional(), folder, "404")


def test_nobody_who_listens_is_said_so(optional, folder):
    assert_not_fetched(optional("http://127.0.0.1:9/w"), folder, "127.0.0.1", "HTTPS_PROXY")


def test_the_proxy_of_the_environment_is_used(optional, folder, server, monkeypatch):
    entry = optional("http://models.invalid/large")
    monkeypatch.setenv("http_proxy", server.address)

    fetch_model(entry)

    # Only a proxy is asked for a whole address.
    assert server.asked == ["http://models.invalid/large"]


def test_a_certificate_is_checked_against_those_of_the_environment(
    optional, folder, tiny_weights, tmp_path, monkeypatch
):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl, which makes the certificate")
    pem = tmp_path / "own.pem"
    request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-days", "2"]
    request += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(tmp_path / "key"), "-out", str(pem)]
    subprocess.run([openssl, *request], check=True, capture_output=True)
    both = tmp_path / "both.pem"
    both.write_bytes((tmp_path / "key").read_bytes() + pem.read_bytes())

    with serving(tiny_weights.read_bytes(), certificate=both) as server:
        entry = optional(f"{server.address}/w")
        assert_not_fetched(entry, folder, "certificate")

        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem))
        assert fetch_model(entry).is_file()


def test_an_interruption_leaves_nothing(optional, folder, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pooch.HTTPDownloader.__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch_model(optional())

    assert os.listdir(folder) == []


def test_what_a_killed_download_has_left_is_swept_by_the_next(optional, folder, monkeypatch):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    monkeypatch.setattr("os.getpid", lambda: process.pid)
    left = folder / hidden_name()
    left.mkdir(parents=True)
    (left / "tmp1234").write_bytes(b"half")
    monkeypatch.undo()
    monkeypatch.setenv(bundled.FOLDER_VARIABLE, str(folder))

    with serving(b"") as bad, pytest.raises(CheckpointError):
        fetch_model(optional(f"{bad.address}/w"))

    assert os.listdir(folder) == []


def test_a_folder_that_cannot_be_made_is_an_output_error(optional, folder):
    folder.write_bytes(b"a file")

    with pytest.raises(OutputError, match=bundled.FOLDER_VARIABLE):
        fetch_model(optional())


def test_a_bundled_model_is_not_fetched():
    with pytest.raises(InputError, match="already"):
        fetch_model(registry()[0])


def test_weights_in_the_models_folder_that_were_changed_are_refused(optional, folder):
    path = fetch_model(optional())
    path.write_bytes(path.read_bytes() + b"\0")

    with pytest.raises(CheckpointError, match="SHA-256"):
        load_model("large")


def test_the_registry_names_no_address_of_a_real_host():
    assert [entry.url for entry in registry() if entry.url] == []


def test_only_fetching_loads_what_opens_connections():
    code = (
        "import sys\nfrom ArSSRLib.checkpoint import load_model\nload_model('arssr2')\n"
        "import ArSSRLib.commands.upsample, ArSSRLib.worker.volumes\n"
        "print({'pooch', 'requests', 'urllib3'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
