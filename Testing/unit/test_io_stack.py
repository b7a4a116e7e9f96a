"""Conversion of the positions of slices to one grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import phantoms
import pytest

from ArSSRLib.errors import InputError
from ArSSRLib.io.stack import Plane, stack


def planes(count: int = 6, step: float = 3.0, degrees: tuple[float, float, float] = (10, 20, 30)) -> list[Plane]:
    matrix = np.reshape(phantoms.rotation(*degrees), (3, 3))
    return [
        Plane(
            position=tuple(np.array([5.0, -7.0, 11.0]) + k * step * matrix[:, 2]),
            orientation=tuple(matrix.T[:2].ravel()),
            spacing=(0.7, 0.5),
            size=(16, 12),
            rescale=(1.0, 0.0),
        )
        for k in range(count)
    ]


def test_slices_are_ordered_along_their_normal():
    shuffled = [planes()[k] for k in (3, 0, 5, 1, 4, 2)]

    order, geometry = stack(shuffled)

    assert order == [1, 3, 5, 0, 4, 2]
    assert geometry.size == (16, 12, 6)
    np.testing.assert_allclose(geometry.spacing, (0.5, 0.7, 3.0), rtol=1e-12)
    np.testing.assert_allclose(geometry.origin, (5.0, -7.0, 11.0), rtol=1e-12)
    np.testing.assert_allclose(geometry.direction, phantoms.rotation(10, 20, 30), atol=1e-12)


def test_rounded_positions_and_orientations_are_accepted():
    rounded = [
        replace(p, position=tuple(np.round(p.position, 2)), orientation=tuple(np.round(p.orientation, 4)))
        for p in planes(40, step=1.0)
    ]

    _, geometry = stack(rounded)

    axes = np.reshape(geometry.direction, (3, 3))
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(geometry.spacing[2], 1.0, atol=1e-3)


def without(*numbers):
    return lambda slices: [p for k, p in enumerate(slices) if k not in numbers]


def moved(number, vector):
    def move(slices):
        slices[number] = replace(slices[number], position=tuple(np.add(slices[number].position, vector)))
        return slices

    return move


def leaning(slices):
    row = np.array(slices[0].orientation[:3])
    return [replace(p, position=tuple(p.position + 0.1 * k * row)) for k, p in enumerate(slices)]


def turned(slices):
    return [*slices[:-1], replace(slices[-1], orientation=planes(degrees=(10, 20, 31))[0].orientation)]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (without(2), "lacks 1 slice between the 5 it has: numbers 2 and 3 are 6 mm apart instead of 3 mm"),
        (without(2, 3), "lacks 2 slices"),
        (lambda p: [*p, p[3]], "has 7 slices at 6 positions, as in a series with several echoes"),
        (lambda p: p * 12, "has 72 slices at 6 positions"),
        (lambda p: [p[0]] * 4, "has 4 slices at 1 position,"),
        (lambda p: p[:1], "has a single slice"),
        (moved(2, 0.5 * np.reshape(phantoms.rotation(10, 20, 30), (3, 3))[:, 2]), "unevenly spaced"),
        (leaning, "is tilted by 1.91 degrees"),
        (turned, "not parallel"),
        (lambda p: [*p[:-1], replace(p[-1], spacing=(0.7, 0.6))], "different sizes or pixel spacings"),
        (lambda p: [*p[:-1], replace(p[-1], size=(16, 16))], "different sizes or pixel spacings"),
        (lambda p: [replace(q, orientation=(0.0,) * 6) for q in p], "not two perpendicular unit vectors"),
        (lambda p: [replace(q, orientation=(1.0, 0, 0, 1, 0, 0)) for q in p], "not two perpendicular unit vectors"),
    ],
)
def test_slices_that_are_not_a_stack_are_refused(spoil, told):
    with pytest.raises(InputError) as error:
        stack(spoil(planes()))

    assert told in str(error.value)
