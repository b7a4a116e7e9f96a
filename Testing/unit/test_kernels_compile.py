"""The kernels can be compiled for actual GPUs, which needs no GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="there is no Triton here (pip install triton; Linux only)")

# In a separate process, without the interpreter. Types of the arguments, then the compile-time constants.
COMPILE = """
import sys, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from ArSSRLib.kernels.published_decoder import decode_block
from ArSSRLib.kernels.residual_decoder import add_residual

name, capability, kind = sys.argv[1:]
kernel = {"published": decode_block, "residual": add_residual}[name]
addresses = {"result": "*fp32", "features": f"*{kind}", "matrices": f"*{kind}", "index": "*i32"}
addresses |= dict.fromkeys(("weight", "query", "vectors", "gain", "shift"), "*fp32")
values = {"rows": 32, "channels": 20, "hidden": 1, "widen": False}
if name == "published":
    values |= {"inputs": 32, "units": 64, "columns": 32, "feature_columns": 32, "few": 16}
else:
    values |= {"columns": 32, "slope": 0.1, "residual_gain": 0.05}
names = kernel.arg_names
signature = {name: addresses.get(name, "constexpr" if name in values else "i32") for name in names}
source = ASTSource(kernel, signature, values)
compiled = triton.compile(source, target=GPUTarget("cuda", int(capability), 32), options={"num_stages": 1})
print("MATRIX INSTRUCTIONS", compiled.asm["ptx"].count("mma"))
"""


@pytest.mark.parametrize("kernel", ["published", "residual"])
@pytest.mark.parametrize(("capability", "kind"), [(80, "fp16"), (90, "bf16")], ids=["Ampere", "Hopper"])
def test_a_kernel_compiles_to_instructions_for_tensor_cores(tmp_path, kernel, capability, kind):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).resolve().parents[2])}

    done = subprocess.run(
        [sys.executable, "-c", COMPILE, kernel, str(capability), kind],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )

    assert done.returncode == 0, done.stderr
    assert int(done.stdout.rpartition("MATRIX INSTRUCTIONS ")[2]) > 0
