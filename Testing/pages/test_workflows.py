"""The workflows in .github/ run existing scripts, on the systems and versions that the package supports."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (pip install -e '.[docs]')")


def load(name: str) -> dict:
    return yaml.safe_load((ROOT / ".github" / name).read_text(encoding="utf-8"))


def test_tests_run_on_three_systems_and_every_supported_version():
    matrix = load("workflows/tests.yml")["jobs"]["tests"]["strategy"]["matrix"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [c.rpartition(" ")[2] for c in project["classifiers"] if re.fullmatch(r".*Python :: 3\.\d+", c)]

    assert {system.partition("-")[0] for system in matrix["system"]} == {"ubuntu", "macos", "windows"}
    assert matrix["python"] == named
    assert project["requires-python"] == f">={named[0]}"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_existing_scripts_with_read_only_permissions(path):
    workflow = load(f"workflows/{path.name}")
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    scripts = [script for step in steps for script in re.findall(r"python (\S+\.py)", step.get("run", ""))]

    assert workflow["permissions"] == {"contents": "read"}
    assert [script for script in scripts if not (ROOT / script).is_file()] == []
    assert all("timeout-minutes" in job for name, job in workflow["jobs"].items() if name != "publish")


def test_an_issue_form_requests_no_patient_data():
    form = load("ISSUE_TEMPLATE/bug.yml")

    assert "no patient data" in form["body"][0]["attributes"]["value"]
    assert len({field["id"] for field in form["body"] if "id" in field}) == 4
