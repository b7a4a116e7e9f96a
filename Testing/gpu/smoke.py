"""Is the machine usable? Checks the device, its arithmetic, Triton's compiler and the engine within seconds."""

from __future__ import annotations

import platform
from typing import Any

import torch
import torch.nn.functional as F

from ArSSRLib.device import device_name, smoke_test, total_memory
from ArSSRLib.normalization import IntensityRange
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.upsampling import upsample
from gpu import bare
from gpu.networks import FORMATS, device_of, network, script
from gpu.plan import DEFAULT

# Relative to the largest value.
TOLERANCES = {"fp32": 1e-5, "fp16": 3e-3, "bf16": 2e-2}


def machine(*, tiny: bool) -> dict[str, Any]:
    """Return the properties of the machine."""
    device = device_of(tiny=tiny)
    cuda = device.type == "cuda"
    return {
        "device": device_name(device),
        "capability": ".".join(map(str, torch.cuda.get_device_capability(device))) if cuda else "none",
        "memory GB": round(total_memory(device) / 1e9, 1),
        "Python": platform.python_version(),
        "PyTorch": torch.__version__,
        "CUDA": str(torch.version.cuda),
        "cuDNN": torch.backends.cudnn.version() if cuda else "none",
        "stand-ins": ", ".join(bare.missing) or "none",
        "threads": torch.get_num_threads(),
    }


def arithmetic(*, tiny: bool) -> dict[str, Any]:
    """Multiply and convolve in every number format, and compare with float64 on the CPU."""
    device = device_of(tiny=tiny)
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(2, 96, 96, dtype=torch.float64, generator=generator)
    volume = torch.randn(1, 16, 9, 10, 11, dtype=torch.float64, generator=generator)
    kernel = torch.randn(16, 16, 3, 3, 3, dtype=torch.float64, generator=generator)
    values: dict[str, Any] = {"convolution of ones": smoke_test(device)}
    right_ones = values["convolution of ones"] == "ok"
    with torch.backends.cudnn.flags(allow_tf32=False):
        for name, number_format in FORMATS.items():
            if device.type == "cpu" and name != "fp32":
                continue  # formats of a GPU
            a, b, x, w = (tensor.to(device, number_format) for tensor in (left, right, volume, kernel))
            x = x.contiguous(memory_format=torch.channels_last_3d)
            errors = {
                "product": _relative(a @ b, left @ right),
                "convolution": _relative(F.conv3d(x, w), F.conv3d(volume, kernel)),
            }
            values |= {f"{what} {name}": error for what, error in errors.items()}
            right_ones &= all(error <= TOLERANCES[name] for error in errors.values())
    return values | {"right": right_ones}


def triton(*, tiny: bool) -> dict[str, Any]:
    """Compile the smallest kernel and run it."""
    import triton as package  # noqa: PLC0415

    from gpu.doubling import doubled  # noqa: PLC0415 - Triton may be missing, which is this item's result

    numbers = torch.arange(1000.0, device=device_of(tiny=tiny))
    return {"version": package.__version__, "right": torch.equal(doubled(numbers), 2 * numbers)}


def engine(*, tiny: bool) -> dict[str, Any]:
    """Upsample a small phantom like a user, and compare with the CPU."""
    volume = script("phantom").noisy_phantom((12, 11, 10) if tiny else (40, 36, 32))
    model = network(DEFAULT, tiny=tiny)
    expected = upsample(volume, model, 2, UpsamplingOptions(device="cpu", precision="fp32")).array
    found = upsample(volume, model, 2, UpsamplingOptions(device=str(device_of(tiny=tiny)))).array
    model.cpu()
    intensities = IntensityRange.of(volume.array)
    error = float(abs(intensities.normalize(found) - intensities.normalize(expected)).max())
    return {"largest error": error, "right": error < 0.01}


def _relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.cpu().double() - expected).abs().max() / expected.abs().max())
