"""On a machine with a CUDA GPU, every kernel, graph, number format and tile path agrees with the CPU in fp32."""

from __future__ import annotations

import pytest
import torch

from gpu import plan, supervision
from gpu.results import Results

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here"),
]
ITEMS = [*plan.smoke(), *plan.checks()]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    found = Results(tmp_path_factory.mktemp("cuda"), {})
    supervision.carry_out(ITEMS, found, supervision.Budget(600), tiny=False)
    return found.items


@pytest.mark.parametrize("name", [item.name for item in ITEMS])
def test_the_device_agrees_with_the_cpu_in_fp32(results, name):
    assert results[name].status == "ok", supervision.line(name, results[name])
