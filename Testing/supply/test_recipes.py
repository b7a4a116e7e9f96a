"""The files for other systems match the command, and the command accepts the arguments that they produce."""

from __future__ import annotations

import json
import tomllib

import pytest
from supply import recipes

from ArSSRLib.commands.arguments import build_parser, join_numbers

EXAMPLES = {
    "bids_dir": "/data",
    "output_dir": "/out",
    "level": "participant",
    "participant_label": ["01", "02"],
    "scale": ["2", "2", "1"],
    "uncertainty": True,
    "quality": "best",
    "jobs": "2",
    "cluster_option": ["queue=long", "cores=4"],
}


@pytest.mark.parametrize("name", list(recipes.RECIPES))
def test_the_files_match_the_command(name):
    written = (recipes.FOLDER / name).read_text(encoding="utf-8")

    assert written == recipes.RECIPES[name](), "run: python Testing/supply/recipes.py"


def test_the_command_accepts_the_arguments_of_boutiques():
    descriptor = json.loads(recipes.boutiques())
    line = descriptor["command-line"]
    for entry in descriptor["inputs"]:
        value = EXAMPLES.get(entry["id"])
        flag = entry.get("command-line-flag", "")
        if isinstance(value, list):
            value = entry.get("list-separator", " ").join(value)
        words = "" if value is None else f"{flag} {'' if value is True else value}"
        assert entry["value-key"] in line
        line = line.replace(entry["value-key"], words)

    args = build_parser("bids").parse_args(join_numbers(["bids", *line.split()]))

    assert args.participant_label == ["01", "02"]
    assert args.scale == (2, 2, 1)
    assert args.cluster_option == [("queue", "long"), ("cores", 4)]
    assert args.uncertainty is True


def test_every_option_of_one_scan_is_a_parameter_of_the_process():
    text = recipes.nextflow()
    options = {a.dest for a in recipes.actions() if a.option_strings} - recipes._OF_THE_SYSTEM

    assert all(f"params.{name} = null" in text and f"        {name}: '--" in text for name in options)


def test_containers_install_existing_packages_of_the_project():
    project = tomllib.loads((recipes.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert set(recipes.EXTRAS.split(",")) <= set(project["optional-dependencies"])
    assert project["requires-python"] == f">={recipes.PYTHON}"
    assert all((recipes.ROOT / name).exists() for name in recipes.SOURCES.split())
