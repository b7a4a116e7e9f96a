"""The requested resolution of a result, specified in one of four ways."""

from __future__ import annotations

import argparse

from ArSSRLib.errors import InputError
from ArSSRLib.geometry import (
    VolumeGeometry,
    parse_scale,
    reached_scale,
    scale_for_isotropic,
    scale_for_size,
    scale_for_spacing,
)

Factors = tuple[float, float, float]


def factors_for(geometry: VolumeGeometry, args: argparse.Namespace) -> Factors:
    """Return the requested scale, specified in one of four ways, along i, j, k."""
    if args.scale is not None:
        factors = parse_scale(args.scale)
    elif args.spacing is not None:
        factors = scale_for_spacing(geometry, args.spacing)
    elif args.size is not None:
        factors = scale_for_size(geometry, args.size)
    else:
        factors = scale_for_isotropic(geometry)
    for axis, size, factor in zip("ijk", geometry.size, factors, strict=True):
        # The network would only repeat a single voxel.
        if size == 1 and factor > 1 and args.scale is None and args.size is None:
            within = " ".join("1" if n == 1 else "2" for n in geometry.size)
            msg = (
                f"The volume has a single slice along {axis}, so there is nothing to compute between slices; specify "
                f"the whole series, or a scale within the slice, such as --scale {within}."
            )
            raise InputError(msg)
    return reached_scale(geometry, factors)
