"""NRRD files whose headers are written line by line."""

from __future__ import annotations

import numpy as np

IN_SPACE = ("space: left-posterior-superior", "space directions: (1,0,0) (0,1,0) (0,0,2)", "space origin: (5,6,7)")


def voxels() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 900, (4, 5, 6)).astype(np.int16)


def nrrd(path, *lines, data=None, sizes="4 5 6", encoding="raw"):
    """Write an NRRD file with additional lines in its header."""
    head = ["NRRD0005", "type: short", f"dimension: {len(sizes.split())}", f"sizes: {sizes}", "endian: little"]
    text = "\n".join([*head, f"encoding: {encoding}", *lines, "", ""])
    path.write_bytes(text.encode() + (voxels().T.tobytes() if data is None else data))
    return path
