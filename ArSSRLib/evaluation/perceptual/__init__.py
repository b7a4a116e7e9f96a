"""Perceptual metrics: LPIPS against a reference, PSI and LPC-SI without one; `slices` selects the slices."""

from __future__ import annotations

from ArSSRLib.evaluation.perceptual.edge_widths import psi
from ArSSRLib.evaluation.perceptual.learned import lpips
from ArSSRLib.evaluation.perceptual.phase_coherence import lpc_si

__all__ = ["lpc_si", "lpips", "psi"]
