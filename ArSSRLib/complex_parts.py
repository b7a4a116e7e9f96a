"""Parts of complex images: phase, whose values wrap around, and real and imaginary parts.

Networks are trained on magnitude images. `io` reads the statements of headers; this file recognizes parts by file names
and voxels, and contains the warnings. It is independent of formats.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

# Parts of file names according to the Brain Imaging Data Structure and dcm2niix.
_NAMES = {
    **dict.fromkeys(("phase", "ph", "phasediff", "phasemap"), "phase"),
    "real": "real",
    **dict.fromkeys(("imag", "imaginary"), "imaginary"),
}
# These also stand for phases of another kind, unless they are at the end of a name.
_AT_THE_END = {"phase1": "phase", "phase2": "phase"}
# Words around "phase" and "real" that give them another meaning: of contrast agents, of Dixon's method, of the heart,
# of studies, and labels of subjects.
_OTHER_BEFORE = re.compile(
    r"arterial|(portal)?venous|portal|pv|late|early|delay(ed)?|equilibrium|hepatobiliary|hbp|nephrographic|excretory|"
    r"corticomedullary|contrast|native|pre|post|in|out|of|opp(osed)?|cardiac|(sy|dia)stol(e|ic)|respiratory|breathing|"
    r"sub|ses|acq|ce|dir|run|task|end|mid|single|multi|dual|two|three|acute|chronic"
)
_OTHER_AFTER = re.compile(r"contrast|encod(ing|ed)|array|oversampling|study|trial|i+|time|world")
# Image types of manufacturers.
_TYPES = {
    "phase": re.compile(r"P|P_.*|PHASE(?!D|[ _]?(ENCOD|CONTRAST|OVERSAMPL|ARRAY)).*"),
    "real": re.compile(r"R|R_.*|REAL([ _](IMAGE|PART))?"),
    "imaginary": re.compile(r"I|I_.*|IMAG(INARY)?([ _](IMAGE|PART))?"),
}
# A full turn in radians, degrees, milliradians, and in the units of scanners with 12, 13 and 16 bits.
_TURNS = (2 * math.pi, 360.0, 2000 * math.pi, 4095.0, 8190.0, 65535.0)
_TURN_TOLERANCE = 0.01
# Wrapped phase: neighbors at opposite ends of the range, relative to the voxels near the rarer end; smallest fraction
# of voxels near each end, and the size of an end as a fraction of the range. The first is 0.06 in phase with a single
# slow wrap, and 0 in a saturated magnitude image.
_WRAPS, _AT_ENDS, _END = 0.03, 0.02, 0.1
# Smallest fraction of voxels with the value of the corner for a mask.
_BACKGROUND = 0.1
_SAMPLED_PLANES = 32
_SUFFIXES = ("nii", "gz", "nrrd", "nhdr", "mha", "mhd", "mgh", "mgz", "hdr", "img")


def component_by_name(name: str) -> str:
    """Return the part of a complex image in a file name: "phase", "real", "imaginary", or an empty string."""
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word and word not in _SUFFIXES]
    if words and words[-1] in _AT_THE_END:
        return _AT_THE_END[words[-1]]
    for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
        other = _OTHER_BEFORE.fullmatch(before) or _OTHER_AFTER.fullmatch(after)
        # A number counts phases of the heart or of a study.
        if word in _NAMES and not other and not (word == "phase" and after.isdecimal()):
            return _NAMES[word]
    return ""


def component_by_type(words: Iterable[str]) -> str:
    """Return the part of a complex image in the words of an image type, as `component_by_name` does."""
    stated = [word.strip().upper() for word in words]
    return next((part for part, pattern in _TYPES.items() if any(map(pattern.fullmatch, stated))), "")


def looks_like_wrapped_phase(array: npt.NDArray[Any]) -> bool:
    """Return whether voxels, shape (k, j, i), finite, cover a full turn and jump between its ends."""
    low, high = float(array.min()), float(array.max())
    if not any(abs((high - low) / turn - 1) < _TURN_TOLERANCE for turn in _TURNS):
        return False
    part = array[:: max(1, len(array) // _SAMPLED_PLANES)].astype(np.float64)
    turns = (part - low) / (high - low)
    # The background of a masked image has no phase, and its edge no wraps.
    measured = part != part[0, 0, 0]
    if np.count_nonzero(measured) > (1 - _BACKGROUND) * part.size:
        measured[...] = True
    ends = min(np.count_nonzero(measured & end) for end in (turns < _END, turns > 1 - _END))
    wraps = 0
    for one, other in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[:, :, 1:], np.s_[:, :, :-1])):
        jump = np.abs(turns[one] - turns[other]) > 1 - 2 * _END
        wraps += int(np.count_nonzero(jump & measured[one] & measured[other]))
    return bool(ends > _AT_ENDS * np.count_nonzero(measured) and wraps > _WRAPS * ends)


def warning_about(component: str) -> str:
    """Return the warning about upsampling such a part, or an empty string."""
    if component == "phase":
        return (
            "This is the phase of a complex image: interpolated values are wrong where it wraps. Unwrap it first, or "
            "upsample the real and imaginary parts and compute the phase from the results."
        )
    if component:
        return (
            f"This is the {component} part of a complex image, but the networks were trained on magnitude images; "
            "compare the result with cubic interpolation."
        )
    return ""
