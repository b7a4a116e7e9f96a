"""The rounding error of numbers in a header, from the digits as written.

Programs omit trailing zeros, round to decimals or to significant digits, or write the noise of single precision behind
a rounded number. The meaning of the numbers does not matter here.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
import numpy.typing as npt

# More digits than this exceed single precision; and its relative error.
_SINGLE_DIGITS, _SINGLE_ERROR = 8, 1.2e-7
# One row in this many has all digits, because trailing zeros are omitted; a single row may be from another program.
_SHARED_BY = 3
# No program rounds to fewer significant digits; such numbers are whole.
_SIGNIFICANT = 4
EXACT = 16


def digits_of(text: str) -> int:
    """Return the number of decimals of a number; the noise behind a rounded number does not count."""
    try:
        number = Decimal(text.strip()).as_tuple()
    except InvalidOperation:
        return EXACT
    digits, value = max(0, -int(number.exponent)), float(text)
    if len(number.digits) <= _SINGLE_DIGITS:
        return digits
    noise = max(_SINGLE_ERROR * abs(value), 1e-12)
    return next((n for n in range(digits) if abs(round(value, n) - value) <= noise), digits)


def rounding_error(values: Sequence[Sequence[float]], digits: Sequence[Sequence[int]]) -> float:
    """Return the largest rounding error of any of the numbers.

    Args:
        values: Rows of numbers in the same format, such as positions.
        digits: Number of decimals of each number, from `digits_of`.
    """
    behind = np.array(digits, dtype=int)
    with np.errstate(divide="ignore"):
        before = np.floor(np.log10(np.abs(np.array(values, dtype=np.float64)))) + 1
    significant = np.where(np.isfinite(before), before + behind, 0)
    decimals = np.full(behind.shape, _shared(behind.max(axis=1)))
    if _shared(significant.max(axis=1)) >= _SIGNIFICANT:
        # With significant digits, large numbers have fewer decimals.
        decimals = np.minimum(decimals, _shared(significant.max(axis=1)) - np.where(np.isfinite(before), before, 0))
    return float(0.5 * 10.0 ** -float(np.maximum(behind, decimals).min()))


def _shared(counts: npt.NDArray[Any]) -> int:
    """Return the number of digits that enough rows reach."""
    return int(np.sort(counts)[::-1][(len(counts) - 1) // _SHARED_BY])
