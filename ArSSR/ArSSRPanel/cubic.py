"""The input of a run on the grid of its result, by cubic spline interpolation, for the comparison.

VTK computes it in the application, slab by slab, so that the window stays responsive, without any network.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

# Voxels computed between two calls of the callback, in a fraction of a second on one core.
SLAB_VOXELS = 4_000_000


def cubicArray(
    inputVolume: slicer.vtkMRMLScalarVolumeNode,
    resultVolume: slicer.vtkMRMLScalarVolumeNode,
    *,
    onProgress: Callable[[float], object] | None = None,
) -> np.ndarray:
    """Return the input, interpolated by cubic B-splines at the voxel centers of the result, without parent transforms.

    ``onProgress`` is called with the finished fraction after every slab; an exception stops the work.

    Returns:
        Intensities, float32, shape (k, j, i) of the result.
    """
    coefficients = vtk.vtkImageBSplineCoefficients()
    coefficients.SetInputData(inputVolume.GetImageData())
    coefficients.SetSplineDegree(3)
    coefficients.SetBorderModeToMirror()
    coefficients.SetOutputScalarTypeToFloat()
    coefficients.Update()
    interpolator = vtk.vtkImageBSplineInterpolator()
    interpolator.SetSplineDegree(3)
    interpolator.SetBorderModeToMirror()
    reslice = vtk.vtkImageReslice()
    reslice.SetInputData(coefficients.GetOutput())
    reslice.SetInterpolator(interpolator)
    reslice.SetOutputScalarType(vtk.VTK_FLOAT)
    reslice.SetResliceTransform(_resultToInput(inputVolume, resultVolume))
    reslice.SetOutputSpacing(1, 1, 1)
    reslice.SetOutputOrigin(0, 0, 0)
    # The outermost voxels of a finer grid are outside the centers of the coarse voxels, but inside their cells.
    reslice.SetBorder(True)
    reslice.MirrorOn()
    sizeI, sizeJ, sizeK = resultVolume.GetImageData().GetDimensions()
    result = np.empty((sizeK, sizeJ, sizeI), dtype=np.float32)
    step = max(1, SLAB_VOXELS // (sizeI * sizeJ))
    for start in range(0, sizeK, step):
        stop = min(start + step, sizeK)
        reslice.SetOutputExtent(0, sizeI - 1, 0, sizeJ - 1, start, stop - 1)
        reslice.Update()
        values = numpy_support.vtk_to_numpy(reslice.GetOutput().GetPointData().GetScalars())
        result[start:stop] = values.reshape(stop - start, sizeJ, sizeI)
        if onProgress is not None:
            onProgress(stop / sizeK)
    return result


def _resultToInput(
    inputVolume: slicer.vtkMRMLScalarVolumeNode, resultVolume: slicer.vtkMRMLScalarVolumeNode
) -> vtk.vtkTransform:
    """Return the transform from voxel indices of the result to those of the input."""
    resultToRAS, rasToInput = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    resultVolume.GetIJKToRASMatrix(resultToRAS)
    inputVolume.GetRASToIJKMatrix(rasToInput)
    transform = vtk.vtkTransform()
    transform.SetMatrix(rasToInput)
    transform.Concatenate(resultToRAS)
    return transform
