"""Phase that no header declares is known by its file name or by its wraps."""

from __future__ import annotations

import numpy as np
import pytest

from ArSSRLib.complex_parts import component_by_name, looks_like_wrapped_phase

SHAPE = (12, 24, 20)


def wrapped(turn: float) -> np.ndarray:
    """Return a slope of several turns with some noise, from 0 to a turn."""
    k, j, i = np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij")
    slope = 0.2 * j + 0.13 * i + 0.05 * k + np.random.default_rng(0).normal(0, 0.02, SHAPE)
    return np.mod(slope, 1.0) * turn


@pytest.mark.parametrize(("turn", "low"), [(2 * np.pi, -np.pi), (8190, -4096), (4095, 0), (360, -180), (6284, -3142)])
def test_wraps_give_phase_away(turn, low):
    phase = wrapped(turn) + low

    assert looks_like_wrapped_phase(phase)
    assert not looks_like_wrapped_phase(phase * 1.7)


def test_a_magnitude_image_of_the_same_range_is_none():
    smooth = np.hypot(*[np.linspace(-1, 1, n).reshape(shape) for n, shape in ((24, (24, 1)), (20, (20)))])
    head = np.where(smooth < 0.9, 4095 * (1 - smooth / 2), 0) * np.ones(SHAPE)
    head[0, 0, 0] = 4095

    assert not looks_like_wrapped_phase(head)


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("sub-01_part-phase_bold.nii.gz", "phase"),
        ("gre_e2_ph.nii", "phase"),
        ("sub-01_phasediff.nii.gz", "phase"),
        ("x_part-imag_T2starw.nrrd", "imaginary"),
        ("x_real.nii", "real"),
        ("sub-phase_T1w.nii.gz", ""),
        ("unreal.nii", ""),
    ],
)
def test_names_tell_the_part_of_a_complex_image(name, component):
    assert component_by_name(name) == component
