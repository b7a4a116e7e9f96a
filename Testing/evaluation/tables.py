"""Protocols on phantoms, for the tests of the evaluation."""

from __future__ import annotations

import csv

import numpy as np
from scipy import ndimage

from ArSSRLib.evaluation.protocol import Protocol
from ArSSRLib.evaluation.protocol_methods import Method
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import write_volume
from ArSSRLib.volume import Volume

CUBIC = Method("cubic", "cubic")
BACK = Method("back", "back_projection")

PROTOCOL = """
title = "Phantoms"
subjects = "subjects"
output = "out"
crop = "none"
scales = [2, [1, 1, 3]]
degradations = ["point"]
metrics = ["psnr"]
figure_subjects = 0
[[methods]]
name = "cubic"
kind = "cubic"
[[methods]]
name = "back"
kind = "back_projection"
"""


def rough(seed=0, shape=(20, 22, 24)):
    """Return simple anatomy: smooth noise inside a ball, 0 outside."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 1.0)
    noise = 200 + 800 * (noise - noise.min()) / np.ptp(noise)
    k, j, i = np.meshgrid(*[np.linspace(-1.2, 1.2, n) for n in shape], indexing="ij")
    return np.where(k**2 + j**2 + i**2 < 1, noise, 0).astype(np.float32)


def write_subject(path, seed=0, *, shape=(20, 22, 24), spacing=(1.0, 1.0, 1.0), array=None):
    array = rough(seed, shape) if array is None else array
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_volume(Volume(array, VolumeGeometry(array.shape[::-1], spacing, (5.0, -3.0, 8.0))), path)


def write_subjects(folder, count=2):
    return [write_subject(folder / f"sub-{n:02d}_T1w.nii.gz", n) for n in range(1, count + 1)]


def protocol_of(folder, **changes):
    values = {
        "title": "Phantoms",
        "output": folder / "out",
        "methods": (CUBIC, BACK),
        "subjects": folder / "subjects",
        "scales": ((2.0, 2.0, 2.0),),
        "degradations": ("point",),
        "crop": "none",
        "metrics": ("psnr",),
        "figure_subjects": 0,
    }
    return Protocol(**(values | changes))


def table_of(folder):
    """Return the rows of the tidy table as (subject, scale, degradation, method, metric, region) to value."""
    with (folder / "results.csv").open(newline="", encoding="utf-8") as file:
        return {tuple(row[:-1]): float(row[-1]) for row in list(csv.reader(file))[1:]}
