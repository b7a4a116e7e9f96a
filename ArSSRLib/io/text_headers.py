"""The text before the voxels of a NRRD or MetaImage file: units, spacing, and location of the voxels.

ITK reads the grid from it, but does not provide the units, nor whether the spacing is stated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ArSSRLib.errors import InputError
from ArSSRLib.io.content import refuse_unfetched

LONGEST_HEADER = 2**20
# Units of length in millimeters, with their usual spellings.
_MILLIMETERS = {
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), 1.0),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1000.0),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), 10.0),
    **dict.fromkeys(("um", "\u00b5m", "\u03bcm", "micron", "microns", "micrometer", "micrometers", "micrometre"), 1e-3),
    **dict.fromkeys(("in", "inch", "inches"), 25.4),
    **dict.fromkeys(("nm", "nanometer", "nanometers", "nanometre"), 1e-6),
}
_NO_UNIT = ("", "none", "???", "unknown")
# Kinds of spatial axes, and of axes without a stated kind.
_SPATIAL_KINDS: tuple[list[str], ...] = ([], ["domain"], ["space"], ["???"], ["none"])
_ANATOMICAL = re.compile(r"(left|right)-(anterior|posterior)-superior|[lr][ap]s$|[lr][ap]st$")
_PRINTF = re.compile(r"(%\d{0,3}d)")
_LIST = re.compile(r"^(data ?file:|ElementDataFile *=) *LIST", re.MULTILINE | re.IGNORECASE)
_MOST_FILES = 2**16


@dataclass(frozen=True)
class TextHeader:
    """Fields of a header.

    Attributes:
        path: File of the header.
        fields: Values by lower-case name.
        end: End of the header in the file, in bytes; None if it was not found.
        listed: Names of files of voxels, if they are listed after it.
    """

    path: Path
    fields: dict[str, str]
    end: int | None
    listed: tuple[str, ...] = ()

    @property
    def is_nrrd(self) -> bool:
        """Whether this is NRRD; otherwise, it is MetaImage."""
        return self.path.suffix.lower() in (".nrrd", ".nhdr")

    @property
    def data_files(self) -> list[Path]:
        """The separate files of the voxels; none if they follow the header.

        Raises:
            InputError: If the header counts too many of them.
        """
        name = self.fields.get("data file", self.fields.get("datafile", self.fields.get("elementdatafile", "")))
        first, *counted = name.split() or [""]
        if first.lower() in ("", "local"):
            return []
        names = [name]
        if first == "LIST":
            names = list(self.listed)
        elif _PRINTF.search(first) and len(counted) >= 2 and all(re.fullmatch(r"-?\d+", word) for word in counted):
            low, high, step = (*map(int, counted[:2]), int(counted[2]) if len(counted) > 2 else 1)
            numbers = range(low, high + (1 if step > 0 else -1), step or 1)
            if len(numbers) > _MOST_FILES:
                msg = f"counts {len(numbers):,} files of voxels; correct its header"
                raise InputError(msg)
            before, form, after = _PRINTF.split(first, maxsplit=1)
            names = [f"{before}{form % number}{after}" for number in numbers]
        return [self.path.parent / entry for entry in names]

    @property
    def states_spacing(self) -> bool:
        """Whether the header states the voxel spacing along three axes."""
        if not self.is_nrrd:
            return bool({"elementspacing", "elementsize"} & set(self.fields))
        directions = re.findall(r"\(.*?\)", self.fields.get("space directions", ""))
        spacings = self.fields.get("spacings", "").lower().split()
        return len(directions) >= 3 or len([word for word in spacings if word not in ("none", "nan")]) >= 3

    def frames(self) -> int:
        """Return the number of volumes in a NRRD file along an axis such as time; otherwise 1."""
        kinds = self.fields.get("kinds", "").lower().split()
        sizes = self.fields.get("sizes", "").split()
        along = [int(n) for n, kind in zip(sizes, kinds, strict=False) if kind in ("list", "time") and n.isdecimal()]
        return max(along, default=1)

    @property
    def states_orientation(self) -> bool:
        """Whether the header relates its axes to those of the patient."""
        if not self.is_nrrd:
            return bool({"transformmatrix", "rotation", "orientation"} & set(self.fields))
        return bool(_ANATOMICAL.match(self.fields.get("space", "").lower()))

    def millimeters(self) -> tuple[list[float], str]:
        """Return the units of the three axes in mm, and what is wrong with one of them.

        An axis without a unit has the unit of the others if they agree.
        """
        words = self._units()
        stated = set(words) - {""}
        if len(stated) == 1:
            words = list(stated) * 3
        wrong = "a unit of length for some axes only" if stated and "" in words else ""
        unknown = next((word for word in words if word and word not in _MILLIMETERS), "")
        if unknown:
            wrong = f'lengths in "{unknown}", which is not a known unit'
        factors = [_MILLIMETERS.get(word, 1.0) for word in words]
        return factors + [1.0] * (3 - len(factors)), wrong

    def _units(self) -> list[str]:
        """Return the units of up to three axes, "" for an axis without one.

        NRRD has units of space for the axes of the patient, or units for each array axis; MetaImage has a single unit.
        """
        text = self.fields.get("space units", self.fields.get("units", self.fields.get("distanceunits", "")))
        words = [word.strip().lower() for word in re.findall(r'"([^"]*)"', text) or text.split()]
        if "space units" not in self.fields:
            kinds = self.fields.get("kinds", "").lower().split()
            words = [word for n, word in enumerate(words) if kinds[n : n + 1] in _SPATIAL_KINDS]
        axes = words * 3 if len(words) == 1 else words[:3]
        return ["" if word in _NO_UNIT else word for word in axes]


def read_text_header(path: Path) -> TextHeader:
    """Read the header of a NRRD or MetaImage file, as far as it is valid."""
    with path.open("rb") as file:
        start = file.read(LONGEST_HEADER)
    nrrd = path.suffix.lower() in (".nrrd", ".nhdr")
    # The header of NRRD ends with a blank line, that of MetaImage with the name of the voxel file.
    pattern = rb"\n\r?\n" if nrrd else rb"^ElementDataFile *=[^\n]*\n?"
    found = re.compile(pattern, re.MULTILINE | re.IGNORECASE).search(start)
    text = start[: found.end() if found else None].decode("utf-8", "replace")
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, separator, value = line.partition(":" if nrrd else "=")
        if separator and not line.startswith("#") and not value.startswith("="):
            fields.setdefault(name.strip().lower(), value.strip())
    lines = [line.strip() for line in start.decode("utf-8", "replace").splitlines()] if _LIST.search(text) else []
    listed = lines[next((n for n, line in enumerate(lines) if _LIST.match(line)), 0) + 1 :]
    return TextHeader(path, fields, found.end() if found else None, tuple(line for line in listed if line))


def require_data_files(header: TextHeader) -> None:
    """Refuse a header of which a voxel file is missing, or only a pointer.

    Raises:
        InputError: If so.
    """
    for other in header.data_files:
        refuse_unfetched(other)
        if not other.is_file():
            msg = f"stores its voxels in {other.name}, which does not exist; copy that file into the same folder"
            raise InputError(msg)
