"""Undeclared phase images are recognized by their file name or their wraps."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from dicom_series import write_series
from nifti_files import save
from scipy import ndimage

from ArSSRLib.complex_parts import component_by_name, component_by_type, looks_like_wrapped_phase
from ArSSRLib.io import read_volume
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.upsampling import upsample

SHAPE = (12, 24, 20)


def wrapped(turn: float) -> np.ndarray:
    """Return a ramp over several wraps with some noise, with values from 0 to the length of a wrap."""
    k, j, i = np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij")
    slope = 0.2 * j + 0.13 * i + 0.05 * k + np.random.default_rng(0).normal(0, 0.02, SHAPE)
    return np.mod(slope, 1.0) * turn


@pytest.mark.parametrize(
    ("turn", "low"), [(2 * np.pi, -np.pi), (8190, -4096), (4095, 0), (4096, 0), (65535, 0), (360, -180), (6284, -3142)]
)
def test_phase_is_recognized_by_its_wraps(turn, low):
    phase = wrapped(turn) + low

    assert looks_like_wrapped_phase(phase)
    assert not looks_like_wrapped_phase(phase * 1.7)


@pytest.mark.parametrize("masked", [0.0, -4096.0])
@pytest.mark.parametrize("turns", [0.6, 3.0])
def test_phase_is_recognized_by_a_few_wraps_in_a_large_or_masked_image(turns, masked):
    k, j, i = np.meshgrid(*[np.linspace(-1, 1, n) for n in (4, 192, 192)], indexing="ij")
    phase = np.mod(turns * (j**2 + 0.7 * i + 0.3 * k), 1) * 8192 - 4096

    assert looks_like_wrapped_phase(phase)
    assert looks_like_wrapped_phase(np.where(np.hypot(j, i) < 0.6, phase, masked))


@pytest.mark.parametrize("rim", [0.02, 0.1])
@pytest.mark.parametrize("background", [0, 20])
def test_a_saturated_magnitude_image_is_not_phase(rim, background):
    j, i = np.meshgrid(*[np.linspace(-1, 1, n) for n in (96, 96)], indexing="ij")
    radius = np.hypot(j, i)
    head = np.where(radius < 0.8, 1500 + 800 * np.sin(9 * j) * np.cos(7 * i), 0)
    head = ndimage.gaussian_filter(np.where((radius < 0.8) & (radius > 0.8 - rim), 9000, head), 0.6)
    noise = np.abs(np.random.default_rng(0).normal(0, background, (8, 96, 96))) if background else 0

    assert not looks_like_wrapped_phase(np.clip(head + noise + np.zeros((8, 1, 1)), 0, 4095))


def test_a_magnitude_image_of_the_same_range_is_not_phase():
    smooth = np.hypot(*[np.linspace(-1, 1, n).reshape(shape) for n, shape in ((24, (24, 1)), (20, (20)))])
    head = np.where(smooth < 0.9, 4095 * (1 - smooth / 2), 0) * np.ones(SHAPE)
    head[0, 0, 0] = 4095

    assert not looks_like_wrapped_phase(head)


# Names that contain "phase" or "real" in another sense: contrast agents, Dixon images, the heart, studies.
OTHERS = (
    *("venous_phase", "portal-venous-phase", "late.phase", "in_phase", "opp_phase_a", "out_of_phase", "phase_contrast"),
    *("cardiac_phase_03", "phase_12", "phase2_study", "phase1_baseline", "real_time", "real-world"),
)


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("sub-01_part-phase_bold.nii.gz", "phase"),
        ("gre_e2_ph.nii", "phase"),
        ("sub-01_phasediff.nii.gz", "phase"),
        ("x_part-imag_T2starw.nrrd", "imaginary"),
        ("x_real.nii", "real"),
        ("sub-phase_T1w.nii.gz", ""),
        ("unreal.nii", ""),
        ("phase.nii.gz", "phase"),
        ("QSM-Phase-e1.nii", "phase"),
        ("imag.mha", "imaginary"),
        ("sub-01_phase2.nii.gz", "phase"),
        *((f"t1_{other}.nii.gz", "") for other in OTHERS),
    ],
)
def test_the_part_of_a_complex_image_is_recognized_by_name(name, component):
    assert component_by_name(name) == component


@pytest.mark.parametrize(
    ("image_type", "component"),
    [
        ("P ND", "phase"),
        ("PHASE P FFE", "phase"),
        ("P_FFE", "phase"),
        ("PHASE_MAP", "phase"),
        ("PHASE_IMAGE", "phase"),
        ("R IR", "real"),
        ("REAL_IMAGE", "real"),
        ("IMAGINARY", "imaginary"),
        ("I_SE", "imaginary"),
        ("M NORM DIS2D", ""),
        ("IN_PHASE", ""),
        ("OPP_PHASE", ""),
        ("PHASED ARRAY", ""),
        ("PHASE_CONTRAST", ""),
        ("REALTIME", ""),
    ],
)
def test_the_part_is_recognized_by_image_types_of_manufacturers(image_type, component):
    assert component_by_type(image_type.split() if image_type != "PHASED ARRAY" else [image_type]) == component


@pytest.mark.parametrize("suffix", [".json", ".JSON"])
@pytest.mark.parametrize(
    "stated",
    [
        {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]},
        {"ImageType": "ORIGINAL\\PRIMARY\\P\\ND"},
        {"ComplexImageComponent": "PHASE"},
    ],
)
def test_the_part_is_read_from_the_sidecar_regardless_of_the_file_name(tmp_path, stated, suffix):
    path = save(tmp_path / "9_gre_e2.nii.gz")
    (tmp_path / f"9_gre_e2{suffix}").write_text(json.dumps(stated))

    assert read_volume(path).header.component == "phase"


@pytest.mark.parametrize("image_type", [None, 3, ["ORIGINAL"], "P", {"a": 1}, ["ORIGINAL", "PRIMARY", None]])
def test_an_odd_image_type_in_a_sidecar_is_ignored(tmp_path, image_type):
    path = save(tmp_path / "a.nii")
    (tmp_path / "a.json").write_text(json.dumps({"ImageType": image_type}))

    assert read_volume(path).header.component == ""


@pytest.mark.parametrize(
    ("change", "component"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}, "phase"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "PHASE MAP", "P", "FFE"]}, "phase"),
        ({"ComplexImageComponent": "PHASE"}, "phase"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "R_FFE", "R", "FFE"]}, "real"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "IMAGINARY"]}, "imaginary"),
        ({"ge": 1}, "phase"),
        ({"second": True, "ge": 1}, "phase"),
        ({"ge": 0}, ""),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "NORM", "DIS2D"]}, ""),
        # A single word, whose letters are no words.
        ({"ImageType": "ORIGINAL"}, ""),
        ({"ImageType": "DERIVED"}, ""),
    ],
)
def test_parts_of_a_complex_image_are_recognized(tmp_path, phantom, tiny_model, caplog, change, component):
    def edit(_k, dataset):
        for name, value in change.items():
            if name == "second":
                dataset.private_block(0x0043, "ANOTHER PROGRAM", create=True)
            elif name == "ge":
                dataset.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x2F, "SS", value)
            else:
                setattr(dataset, name, value)

    write_series(tmp_path / "s", phantom.with_array(np.rint(phantom.array).astype(np.int16)), edit=edit)
    volume = read_volume(tmp_path / "s")
    with caplog.at_level(logging.WARNING):
        upsample(volume, tiny_model, (1, 1, 2), UpsamplingOptions(device="cpu", precision="fp32"))

    assert volume.header.component == component
    assert ("Unwrap it first" in caplog.text) == (component == "phase")
    assert ("magnitude images" in caplog.text) == (component in ("real", "imaginary"))
