"""A real brain, coarsened in a known way, upsampled, and compared with the truth: ``make demo``.

The volume is Colin27 if Debian's package mricron-data is installed, otherwise the MNI152 template of nilearn; nothing
is downloaded. The three steps in `sharpen` are all that your own program needs.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ArSSRLib import Volume, VolumeGeometry, load_model, read_volume, upsample, write_volume
from ArSSRLib.acquisition.matrices import acquisition_matrices
from ArSSRLib.checkpoint import DEFAULT_MODEL
from ArSSRLib.figure import save_comparison
from ArSSRLib.interpolation import apply_matrices, cubic_upsample
from ArSSRLib.metrics import brain_mask, psnr, ssim
from ArSSRLib.options import UpsamplingOptions

COLIN27 = Path("/usr/share/mricron/templates/ch2bet.nii.gz")
SCALE = 2
OUTPUT = Path("demo_output")


def sharpen(source: Path, target: Path, *, model: str | Path = DEFAULT_MODEL, consistency: str = "auto") -> None:
    """Upsample from file to file: read, upsample, write. The slices are as thick as the voxels are long."""
    volume = read_volume(source)
    thickness = "x".join(f"{length:g}" for length in volume.geometry.spacing)
    options = UpsamplingOptions(slice_thickness=thickness, consistency=consistency)
    with tqdm(total=1.0, desc="Upsampling", bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed}") as bar:
        network, report = load_model(model), lambda fraction: bar.update(fraction - bar.n)
        result = upsample(volume, network, SCALE, options, progress=report)
    write_volume(result, target, overwrite=True, description=f"demo, {SCALE}x")


def real_brain(folder: Path) -> tuple[str, Volume]:
    """Return a real T1-weighted volume and its name."""
    if COLIN27.exists():
        return "Colin27, one brain scanned 27 times", read_volume(COLIN27)
    from nilearn.datasets import load_mni152_template  # noqa: PLC0415  where Colin27 is, nilearn is not needed

    file = folder / "mni152.nii.gz"
    load_mni152_template(resolution=1).to_filename(file)
    return "MNI152 template (an average of 152 brains, so smooth)", read_volume(file)


def cropped(volume: Volume) -> Volume:
    """Return a volume whose lengths are multiples of the scale, so that both grids have the same outer faces.

    It is float32 regardless of the file, so that rounding to 8 bits hides no difference.
    """
    shape = [n - n % SCALE for n in volume.geometry.shape]
    old = volume.geometry
    geometry = VolumeGeometry((shape[2], shape[1], shape[0]), old.spacing, old.origin, old.direction)
    k, j, i = (slice(n) for n in shape)
    return Volume(volume.array[k, j, i].astype(np.float32), geometry)


def coarsened(truth: Volume) -> Volume:
    """Return a simulated acquisition with voxels of twice the length.

    It uses a Gaussian with a full width at half maximum of one coarse voxel along every axis, sampled at the coarse
    centers.
    """
    geometry = truth.geometry.resized([n // SCALE for n in truth.geometry.size])
    matrices = acquisition_matrices(truth.geometry.shape, geometry.shape, profile="gaussian")
    array = apply_matrices(torch.from_numpy(truth.array), matrices)
    return truth.with_array(array.numpy(), geometry)


def table(truth: Volume, results: dict[str, Volume]) -> str:
    """Return PSNR and SSIM of every result, in the brain and in the whole volume."""
    mask = brain_mask(truth.array)
    lines = [f"{'':<8}  {'PSNR brain':>10}  {'SSIM brain':>10}  {'PSNR whole':>10}  {'SSIM whole':>10}"]
    for name, volume in results.items():
        values = [
            f"{psnr(truth.array, volume.array, mask):>7.2f} dB",
            f"{ssim(truth.array, volume.array, mask):>10.4f}",
            f"{psnr(truth.array, volume.array):>7.2f} dB",
            f"{ssim(truth.array, volume.array):>10.4f}",
        ]
        lines.append(f"{name:<8}  {'  '.join(values)}")
    return "\n".join(lines)


def demonstrate(
    name: str, volume: Volume, folder: Path, *, model: str | Path = DEFAULT_MODEL, consistency: str = "auto"
) -> None:
    """Coarsen a volume, upsample it, and write files, a figure and a table."""
    files = {part: folder / f"{part}.nii.gz" for part in ("truth", "input", "arssr", "cubic")}
    truth = cropped(volume)
    before = coarsened(truth)
    for part, content in (("truth", truth), ("input", before)):
        write_volume(content, files[part], overwrite=True, description="demo")
    print(f"{name}: {by(truth.geometry.spacing)} mm, made coarse to {by(before.geometry.spacing)} mm by a Gaussian")
    print("of one coarse voxel (full width at half maximum) along every axis, sampled at the coarse voxels' centers.")

    started = time.monotonic()
    sharpen(files["input"], files["arssr"], model=model, consistency=consistency)
    seconds = time.monotonic() - started

    after = read_volume(files["arssr"])
    cubic = cubic_upsample(torch.from_numpy(before.array), truth.array.shape).numpy()
    results = {"cubic": after.with_array(cubic), "ArSSR": after}
    write_volume(results["cubic"], files["cubic"], overwrite=True, description="demo, cubic interpolation")
    panels = [("Input", before), ("Cubic", results["cubic"]), ("ArSSR", after), ("Truth", truth)]
    picture = save_comparison(folder / "comparison.png", panels, overwrite=True)

    print(f"Sharpened {SCALE}x to {by(after.geometry.size)} voxels in {seconds:.0f} s.\n\n{table(truth, results)}\n")
    print(f"Picture: {picture}\nVolumes: {', '.join(str(file) for file in files.values())}")


def by(values: tuple[float, ...]) -> str:
    """Return values as text, such as 256 x 256 x 176."""
    return " x ".join(f"{value:g}" for value in values)


def main() -> int:
    """Run the demo into ./demo_output."""
    OUTPUT.mkdir(exist_ok=True)
    name, volume = real_brain(OUTPUT)
    demonstrate(name, volume, OUTPUT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
