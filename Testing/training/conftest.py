"""What tests of training share."""

import pytest
import torch


@pytest.fixture
def traced(monkeypatch):
    """Let PyTorch trace without a compiler for machine code: the same graphs, in seconds; returns those it made."""
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    compiled = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled(module, backend=backend))
    return graphs
