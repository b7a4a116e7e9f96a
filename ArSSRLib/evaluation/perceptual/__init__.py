"""How a volume looks: PSI and LPC-SI, which need no reference; which slices count is one rule, in `slices`."""

from __future__ import annotations

from ArSSRLib.evaluation.perceptual.edge_widths import psi
from ArSSRLib.evaluation.perceptual.phase_coherence import lpc_si

__all__ = ["lpc_si", "psi"]
