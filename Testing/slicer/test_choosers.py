"""The texts beside the choice of a device."""

from __future__ import annotations

from ArSSRPanel.choosers import describeDevices

GPU = {"id": "cuda:0", "name": "Old GPU", "free_memory": 0, "total_memory": 0, "smoke": "no kernel image"}
CPU = {"id": "cpu", "name": "Processor", "free_memory": 16e9, "total_memory": 16e9, "smoke": "ok"}


def test_a_gpu_that_fails_its_test_is_named_with_the_reason():
    facts = {"torch": "2.9.0", "problem": None, "cuda_build": "12.8", "devices": [GPU, CPU]}

    text = describeDevices(facts, "auto")

    assert "Processor, 16.0 GB free, passed the test." in text
    assert "Old GPU failed the test: no kernel image." in text
    assert text.endswith("The CPU is used although Old GPU is available.")
