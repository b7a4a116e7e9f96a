"""Helpers that create a case from arguments and from the files that it needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from field.refused_volumes import Case, text
from safetensors.torch import save_file

from ArSSRLib.checkpoint import save_model
from ArSSRLib.model.arssr2 import ArSSR2Config
from ArSSRLib.model.registry import build_model

TINY = {"channels": 4, "blocks": 1, "feature_channels": 8}
Make = Callable[[Path], object]
Cases = dict[str, Case]


def asked(*arguments: str, before: Make = lambda _folder: None) -> Case:
    """Return a case with these arguments, in which {} stands for the folder; its files are created first."""

    def case(folder: Path) -> list[str]:
        before(folder)
        return [argument.replace("{}", str(folder)) for argument in arguments]

    return case


def all_of(*makes: Make) -> Make:
    return lambda folder: [make(folder) for make in makes]


def file(name: str, content: str = "") -> Make:
    def make(folder: Path) -> Path:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        return text(folder, name, content)

    return make


def tiny(name: str = "tiny.safetensors") -> Make:
    return lambda folder: save_model(build_model(ArSSR2Config(**TINY)), folder / name, metadata={"title": "Tiny"})


def changed(edit: Callable[[dict[str, torch.Tensor]], object], **metadata: str) -> Make:
    """Return a function that writes the tiny weights with other tensors."""

    def make(folder: Path) -> None:
        model = build_model(ArSSR2Config(**TINY))
        state = {name: value.clone() for name, value in model.state_dict().items()}
        edit(state)
        described = {"arssr_format": "1", "arssr_config": model.config.to_json()} | metadata
        save_file(state, folder / "w.safetensors", metadata=described)

    return make


def not_finite(state: dict[str, torch.Tensor]) -> None:
    next(iter(state.values())).fill_(torch.nan)


def whole_numbers(state: dict[str, torch.Tensor]) -> None:
    name = next(iter(state))
    state[name] = state[name].to(torch.int8)


def shorter(state: dict[str, torch.Tensor]) -> None:
    name = next(iter(state))
    state[name] = state[name][:1].clone()
