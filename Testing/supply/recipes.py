"""Write the files for running `arssr bids` in other systems: ``python Testing/supply/recipes.py``.

They are a container recipe for Docker and one for Apptainer, a Boutiques descriptor and a Nextflow process, all derived
from the command's own description; a test compares them. ``--lint`` checks the first three with the linters of the
extra `recipes`. Linting the Nextflow process needs Nextflow, which is not on the package index.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "Resources" / "Deployment"
sys.path.insert(0, str(ROOT))

from ArSSRLib import __version__  # noqa: E402
from ArSSRLib.commands.arguments import build_parser, lengths, numbers, positive, whole_numbers  # noqa: E402

# The Python version of constraints.txt, and the requirements of a container besides the engine.
PYTHON = "3.11"
EXTRAS = "bids,cluster"
IMAGE = f"arssr:{__version__}"
SOURCES = "pyproject.toml constraints.txt README.md LICENSE.txt"
EXIT_CODES = {
    1: "Some scans failed, or their results are missing; the others are finished.",
    2: "The request cannot be met; nothing was computed.",
}
# Options of a run on one machine that a workflow system determines itself.
_OF_THE_SYSTEM = {"jobs", "scheduler", "cluster", "cluster_option", "shard", "participant_label", "verbose", "help"}


def command() -> argparse.ArgumentParser:
    """Return the parser of `arssr bids`."""
    (commands,) = (a for a in build_parser("bids")._actions if isinstance(a, argparse._SubParsersAction))
    return commands.choices["bids"]


def actions() -> list[argparse.Action]:
    """Return the arguments of `arssr bids`, except for its help."""
    return [action for action in command()._actions if action.dest != "help"]


def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _example() -> str:
    """Return the positional arguments inside a container."""
    return "/data /out participant --isotropic"


def dockerfile() -> str:
    """Return the recipe for Docker."""
    project = _project()
    return f"""# Written by `python Testing/supply/recipes.py`. At the root of the repository:
#   docker build -f Resources/Deployment/Dockerfile -t {IMAGE} .
#   docker run --rm -u "$(id -u):$(id -g)" -v STUDY:/data:ro -v RESULTS:/out {IMAGE} {_example()}
FROM python:{PYTHON}-slim

LABEL org.opencontainers.image.title="{project["name"]}" \\
      org.opencontainers.image.description="{project["description"]}" \\
      org.opencontainers.image.version="{__version__}" \\
      org.opencontainers.image.licenses="{project["license"]}" \\
      org.opencontainers.image.source="{project["urls"]["Homepage"]}"

# Names PyTorch's CPU index for an image that is gigabytes smaller.
ARG PIP_EXTRA_INDEX_URL=

WORKDIR /src
COPY {SOURCES} ./
COPY ArSSRLib ArSSRLib
RUN pip install --no-cache-dir -c constraints.txt ".[{EXTRAS}]"

# Any user may run it: what Dask and PyTorch write for themselves goes here.
ENV HOME=/tmp
WORKDIR /tmp
# nobody; "docker run -u" names another one.
USER 65534
ENTRYPOINT ["arssr", "bids"]
"""


def apptainer() -> str:
    """Return the recipe for Apptainer."""
    project = _project()
    files = "\n".join(f"    {name} /src/{name}" for name in [*SOURCES.split(), "ArSSRLib"])
    return f"""# Written by `python Testing/supply/recipes.py`. At the root of the repository:
#   apptainer build arssr.sif Resources/Deployment/arssr.def
#   apptainer run --cleanenv -B STUDY:/data:ro -B RESULTS:/out arssr.sif {_example()}
Bootstrap: docker
From: python:{PYTHON}-slim

%files
{files}

%post
    # For an image that is gigabytes smaller, export PIP_EXTRA_INDEX_URL with PyTorch's CPU index here.
    cd /src
    pip install --no-cache-dir -c constraints.txt ".[{EXTRAS}]"

%labels
    title {project["name"]}
    version {__version__}
    license {project["license"]}
    source {project["urls"]["Homepage"]}

%runscript
    exec arssr bids "$@"

%test
    arssr bids --help

%help
{_indented(_help())}
"""


def _help() -> str:
    """Return the command's help text, 100 columns wide and without parts that depend on the version of Python."""
    parser = command()
    words = [f"{parser.description} Arguments:", ""]
    words += [f"{' '.join(a.option_strings) or a.dest}: {_described(a)}" for a in actions()]
    return "\n".join(words)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines())


def _described(action: argparse.Action) -> str:
    return (action.help or "").replace("%(default)s", str(action.default))


def boutiques() -> str:
    """Return the Boutiques descriptor."""
    inputs = [_boutiques_input(action) for action in actions()]
    (group,) = command()._mutually_exclusive_groups
    target = [action.dest for action in group._group_actions]
    table = {
        "name": "arssr bids",
        "description": f"{command().description} {_project()['description']}.",
        "author": _project()["authors"][0]["name"],
        "url": _project()["urls"]["Homepage"],
        "tool-version": __version__,
        "schema-version": "0.5",
        "command-line": "arssr bids " + " ".join(i["value-key"] for i in inputs),
        "container-image": {"type": "docker", "image": IMAGE, "entrypoint": True},
        "inputs": inputs,
        "groups": [
            {"id": "resolution", "name": "Resolution", "members": target, "mutually-exclusive": True}
        ],
        "output-files": [
            {"id": "derivatives", "name": "BIDS derivatives", "path-template": "[OUTPUT_DIR]",
             "description": "A data set of its own, with one result for each scan."}
        ],
        "error-codes": [{"code": code, "description": words} for code, words in EXIT_CODES.items()],
        "tags": {"domain": ["neuroinformatics", "mri"], "toolbox": "BIDS App"},
    }  # fmt: skip
    # The entrypoint of the container is the command itself.
    table["command-line"] = table["command-line"].removeprefix("arssr bids ")
    return json.dumps(table, indent=2, ensure_ascii=False) + "\n"


def _boutiques_input(action: argparse.Action) -> dict[str, Any]:
    """Return an argument as an input of Boutiques."""
    found: dict[str, Any] = {
        "id": action.dest,
        "name": action.dest.replace("_", " ").capitalize(),
        "description": _described(action),
        "type": _boutiques_type(action),
        "value-key": f"[{action.dest.upper()}]",
        "optional": bool(action.option_strings),
    }
    if action.option_strings:
        found["command-line-flag"] = action.option_strings[-1]
    if action.choices:
        found["value-choices"] = [choice for choice in action.choices if choice]
    if action.nargs == "+" or isinstance(action, argparse._AppendAction):
        found["list"] = True
    if action.type in (numbers, lengths):
        found |= {"list": True, "min-list-entries": 1, "max-list-entries": 3}
    if action.type is whole_numbers:
        found |= {"list": True, "min-list-entries": 3, "max-list-entries": 3, "integer": True}
    if isinstance(action, argparse._AppendAction):
        found |= {"list-separator": f" {action.option_strings[-1]} "}
    return found


def _boutiques_type(action: argparse.Action) -> str:
    if isinstance(action, argparse._StoreTrueAction):
        return "Flag"
    if action.type in (numbers, lengths, whole_numbers, positive) or action.dest == "jobs":
        return "Number"
    return "File" if action.type is Path or action.dest in ("bids_dir", "output_dir") else "String"


def nextflow() -> str:
    """Return the Nextflow process, and a workflow that runs it for each participant."""
    options = [a for a in actions() if a.option_strings and a.dest not in _OF_THE_SYSTEM]
    params = "\n".join(f"params.{a.dest} = null  // {_described(a)}" for a in options)
    flags = ",\n".join(f"        {a.dest}: '{a.option_strings[-1]}'" for a in options)
    return f"""// Written by `python Testing/supply/recipes.py`. With the container of Resources/Deployment/Dockerfile:
//   nextflow run Resources/Deployment/arssr.nf -with-docker --bids_dir STUDY --output_dir RESULTS --isotropic true
nextflow.enable.dsl = 2

params.bids_dir = null  // {_described(actions()[1])}
params.output_dir = null  // {_described(actions()[2])}
{params}

process ARSSR_BIDS {{
    tag "sub-${{participant}}"
    container '{IMAGE}'
    containerOptions {{ workflow.containerEngine == 'docker' ? "--entrypoint ''" : '' }}
    cpus 4
    memory {{ 6.GB * task.attempt }}
    errorStrategy {{ task.attempt < 3 ? 'retry' : 'ignore' }}
    maxRetries 2
    publishDir params.output_dir, mode: 'copy', overwrite: true, pattern: 'results/**', saveAs: {{ it - 'results/' }}

    input:
    path bids_dir
    val participant
    val options

    output:
    path 'results/**'

    script:
    \"\"\"
    export OMP_NUM_THREADS=${{task.cpus}}
    arssr bids ${{bids_dir}} results participant --participant-label ${{participant}} ${{options}}
    \"\"\"
}}

workflow {{
    // The option of each parameter. A parameter that is true is an option without a value.
    def flags = [
{flags}
    ]
    def options = flags
        .findAll {{ name, flag -> params[name] != null && params[name] != false }}
        .collect {{ name, flag -> params[name] == true ? flag : "${{flag}} ${{params[name]}}" }}
        .join(' ')
    participants = Channel
        .fromPath("${{params.bids_dir}}/sub-*", type: 'dir')
        .map {{ folder -> folder.name - 'sub-' }}
    ARSSR_BIDS(file(params.bids_dir), participants, options)
}}
"""


RECIPES: dict[str, Callable[[], str]] = {
    "Dockerfile": dockerfile,
    "arssr.def": apptainer,
    "arssr.boutiques.json": boutiques,
    "arssr.nf": nextflow,
}


def lint() -> int:
    """Check the files with the linters of their systems; return the number of files with findings."""
    programs = Path(sys.executable).parent
    commands = (
        [programs / "bosh", "validate", FOLDER / "arssr.boutiques.json"],
        [programs / "hadolint", FOLDER / "Dockerfile"],
        [programs / "spython", "recipe", "--parser", "singularity", FOLDER / "arssr.def"],
    )
    return sum(subprocess.run(words, check=False).returncode != 0 for words in commands)


def main(words: list[str]) -> int:
    """Write the files, or check them."""
    if words == ["--lint"]:
        return lint()
    FOLDER.mkdir(exist_ok=True)
    for name, text in RECIPES.items():
        FOLDER.joinpath(name).write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
