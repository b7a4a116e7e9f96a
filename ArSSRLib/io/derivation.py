"""Description of the processing of a volume, as it is stored in files.

It is independent of formats, so that a program can announce its work before any library is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass

from ArSSRLib import __version__
from ArSSRLib.errors import InputError
from ArSSRLib.geometry import parse_scale, times_label

#: Manufacturer of derived files, for formats that require one.
MANUFACTURER = "ArSSR"
_SHA256_DIGITS = 64


@dataclass(frozen=True)
class Derivation:
    """The derivation of a finer volume from its source.

    Attributes:
        model: Name of the model.
        sha256: Checksum of its weights, 64 hexadecimal digits.
        scale: Factors along i, j, k; unitless.
        device: Description of the computing device; may be empty.

    Raises:
        InputError: If the checksum is malformed, or a factor is below 1.
    """

    model: str
    sha256: str
    scale: tuple[float, float, float]
    device: str = ""

    def __post_init__(self) -> None:
        """Refuse values that would not identify the algorithm."""
        parse_scale(self.scale)
        if len(self.sha256) != _SHA256_DIGITS or not set(self.sha256) <= set("0123456789abcdef"):
            msg = f'The SHA-256 of model "{self.model}" must be 64 hexadecimal digits, got "{self.sha256}".'
            raise InputError(msg)

    @property
    def label(self) -> str:
        """The addition to a name: "ArSSR 2x", or "ArSSR 1x1x4" if the axes differ."""
        return f"ArSSR {times_label(self.scale)}"

    @property
    def text(self) -> str:
        """A description of the processing in one line."""
        factors = " x ".join(f"{factor:.6g}" for factor in self.scale)
        device = f", on {self.device}" if self.device else ""
        return (
            f"Super-resolution by {factors} (i, j, k): ArSSR {__version__}, model {self.model}, SHA-256 {self.sha256}"
            f"{device}. For research, not for diagnosis."
        )
