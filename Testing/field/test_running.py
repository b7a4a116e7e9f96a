"""Difficult environments: no standard error, a full standard output, old packages, other busy programs."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import psutil
import pytest
from derived_series import as_scanned
from dicom_series import write_series

from ArSSRLib import packages
from ArSSRLib.cli import main
from ArSSRLib.errors import DependencyError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import write_volume
from ArSSRLib.process import let_threads_sleep
from ArSSRLib.volume import Volume

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def arguments(tmp_path, tiny_weights):
    """Return a command that upsamples a volume to "out.nii"."""
    array = np.random.default_rng(8).integers(0, 900, (5, 6, 7)).astype(np.int16)
    source = write_volume(Volume(array, VolumeGeometry((7, 6, 5), (1.0, 1.0, 2.0))), tmp_path / "in.nii")
    more = ["--scale", "1.5", "--model", str(tiny_weights), "--device", "cpu"]
    return ["upsample", str(source), str(tmp_path / "out.nii"), *more]


@pytest.mark.skipif(os.name == "nt", reason="the shell of Windows closes no stream")
def test_the_result_is_written_without_standard_streams_and_with_full_ones(arguments, tmp_path):
    output = tmp_path / "out.nii"
    run = '"$0" -m ArSSRLib "$@"'
    for redirection, code in (("<&- >&- 2>&-", 0), (">/dev/full", 1)):
        if "full" in redirection and not Path("/dev/full").exists():
            continue
        shell = ["sh", "-c", f"{run} {redirection}", sys.executable, *arguments]
        done = subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, check=False)

        assert done.returncode == code, (redirection, done)
        assert output.stat().st_size > 352
        if redirection == ">/dev/full":
            assert "cannot write to standard output" in done.stderr
            assert "the result files are complete" in done.stderr
        output.unlink()


def test_a_program_without_stderr_can_use_the_library(arguments, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stderr", None)

    code = main(arguments)
    sys.stderr.close()

    assert code == 0
    assert (tmp_path / "out.nii").is_file()


# --- threads


WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


@pytest.fixture
def undecided(monkeypatch):
    """The user has not set how threads wait, and PyTorch is not loaded yet."""
    for name in WAITING:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.delitem(sys.modules, "torch", raising=False)


@pytest.mark.usefixtures("undecided")
@pytest.mark.parametrize(("busy", "sleep"), [(0.0, False), (19.0, False), (20.0, True), (100.0, True)])
def test_waiting_threads_sleep_only_beside_busy_programs(monkeypatch, busy, sleep):
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: busy if interval else 0.0)

    let_threads_sleep()

    assert ("GOMP_SPINCOUNT" in os.environ, "KMP_BLOCKTIME" in os.environ) == (sleep, sleep)


@pytest.mark.usefixtures("undecided")
def test_waiting_threads_sleep_if_the_load_is_unknown(monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)

    let_threads_sleep()

    assert (os.environ["GOMP_SPINCOUNT"], os.environ["KMP_BLOCKTIME"]) == ("1000", "0")


@pytest.mark.usefixtures("undecided")
def test_the_users_setting_for_waiting_threads_is_kept(monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")

    let_threads_sleep(always=True)

    assert "GOMP_SPINCOUNT" not in os.environ


PLAIN = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_W", "GOMP", "KMP"))}


def test_the_command_line_decides_it_before_pytorch_is_loaded():
    source = (
        "import sys, os, psutil, ArSSRLib.cli as entry\n"
        "psutil.cpu_percent = lambda interval: 100.0\n"
        "def seen(): raise SystemExit(3 if 'torch' not in sys.modules and 'GOMP_SPINCOUNT' in os.environ else 4)\n"
        "entry.run = lambda *_: seen()\n"
        "entry.main(['info', 'x.nii'])"
    )

    assert subprocess.run([sys.executable, "-c", source], cwd=ROOT, env=PLAIN, check=False).returncode == 3


@pytest.mark.parametrize(
    ("interactive", "load", "sleep"), [(False, 0.0, True), (False, 100.0, True), (True, 0.0, False), (True, 50.0, True)]
)
def test_threads_of_the_worker_spin_only_for_short_answers_on_an_idle_computer(interactive, load, sleep):
    source = (
        "import os, psutil, ArSSRLib.worker.packages as packages\n"
        f"psutil.cpu_percent = lambda interval: {load}\n"
        "def seen(name): raise SystemExit(3 if 'GOMP_SPINCOUNT' in os.environ else 4)\n"
        "packages.import_module = seen\n"
        f"packages.load_packages(interactive={interactive})"
    )

    code = subprocess.run([sys.executable, "-c", source], cwd=ROOT, env=PLAIN, check=False).returncode

    assert code == (3 if sleep else 4)


# --- packages


def test_an_old_pydicom_is_refused_before_work(monkeypatch, tmp_path):
    monkeypatch.setattr(packages, "version", lambda name: "2.4.4")

    with pytest.raises(DependencyError, match=r"needs pydicom 3\.0 or later, but 2\.4\.4 is installed"):
        packages.require_package("pydicom", "Writing a DICOM series")


@pytest.mark.parametrize("asked", [[], ["--figure", "x.png"]])
def test_old_packages_are_refused_before_a_volume_is_read(monkeypatch, tmp_path, capsys, arguments, asked):
    array = np.zeros((4, 5, 6), np.int16)
    write_series(tmp_path / "s", Volume(array, VolumeGeometry((6, 5, 4), (1.0, 1.0, 2.0))), edit=as_scanned)
    monkeypatch.setattr(packages, "version", lambda name: "2.4.4")
    monkeypatch.setattr("ArSSRLib.commands.upsample.read_volume", lambda *_, **__: pytest.fail("was read"))
    figure = [str(tmp_path / "x.png") if word == "x.png" else word for word in asked]

    code = main(["upsample", str(tmp_path / "s"), str(tmp_path / "out"), *arguments[3:], *figure])

    assert code == 2
    assert "2.4.4 is installed: pip install --upgrade" in capsys.readouterr().err


def test_the_required_versions_match_the_project():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    said = dict(line.split(">=") for group in extras.values() for line in group if ">=" in line and ";" not in line)

    for name, minimum in packages.MINIMUM.items():
        assert said[name].split(",")[0] == minimum
