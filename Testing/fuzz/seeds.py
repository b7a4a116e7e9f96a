"""Seeds for fuzzing: the smallest valid input of every kind, created here, so that no file is stored."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path

from fuzz.targets import SUFFIXES

from ArSSRLib.options import UpsamplingOptions


def seeds(target: str) -> list[bytes]:
    """Return valid inputs of a target."""
    return {"files": _files, "jobs": _jobs, "weights": _weights, "records": _records}[target]()


def _files() -> list[bytes]:
    import numpy as np  # noqa: PLC0415 - each target loads what it needs

    from ArSSRLib import Volume, VolumeGeometry, write_volume  # noqa: PLC0415

    found = []
    with tempfile.TemporaryDirectory() as folder:
        for dtype in ("u1", "i2", "f4"):
            array = np.arange(24, dtype=dtype).reshape(2, 3, 4)
            volume = Volume(array, VolumeGeometry((4, 3, 2), (1.0, 1.5, 2.0)))
            for number, suffix in enumerate(SUFFIXES):
                if suffix in (".nii", ".nii.gz", ".mgh", ".mgz", ".nrrd", ".mha"):
                    for compress in (True, False):
                        path = write_volume(volume, Path(folder) / f"v{suffix}", overwrite=True, compress=compress)
                        found.append(bytes([number]) + path.read_bytes())
    # The header of a two-file format, and the beginning of a DICOM file.
    found.append(bytes([SUFFIXES.index(".hdr")]) + found[0][1:349])
    found.append(bytes([SUFFIXES.index(".dcm")]) + _dicom())
    return found


def _dicom() -> bytes:
    import pydicom  # noqa: PLC0415
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid  # noqa: PLC0415

    slice_ = pydicom.Dataset()
    slice_.file_meta = pydicom.dataset.FileMetaDataset()
    slice_.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    slice_.SOPClassUID, slice_.SOPInstanceUID = MRImageStorage, generate_uid(entropy_srcs=["fuzz"])
    slice_.Modality, slice_.SeriesInstanceUID = "MR", generate_uid(entropy_srcs=["series"])
    slice_.Rows, slice_.Columns, slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit = 2, 3, 16, 16, 15
    slice_.SamplesPerPixel, slice_.PhotometricInterpretation, slice_.PixelRepresentation = 1, "MONOCHROME2", 0
    slice_.PixelSpacing, slice_.ImageOrientationPatient = [1, 1], [1, 0, 0, 0, 1, 0]
    slice_.ImagePositionPatient, slice_.SliceThickness = [0, 0, 0], 1
    slice_.PixelData = bytes(12)
    stream = io.BytesIO()
    slice_.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _jobs() -> list[bytes]:
    volumes = [{"input": "a.nrrd", "output": "b.nrrd"}]
    job = {"format": 1, "task": "upsample", "model": "arssr2", "scale": [2, 2, 1.5], "volumes": volumes}
    job |= {"region": [[0, 1], [2, 3], [4, 5]], **UpsamplingOptions(device="cpu", memory_limit=1.5).as_table()}
    other = {**job, "memory_limit": None, "region": None, "volumes": volumes * 3}
    probe = {"format": 1, "task": "probe", "models": ["arssr2", "x.safetensors"], "measure": True}
    return [json.dumps(content).encode() for content in (job, other, probe)]


def _weights() -> list[bytes]:
    import torch  # noqa: PLC0415

    from ArSSRLib.checkpoint import save_model  # noqa: PLC0415
    from ArSSRLib.model.arssr import ArSSRConfig  # noqa: PLC0415
    from ArSSRLib.model.arssr2 import ArSSR2Config  # noqa: PLC0415
    from ArSSRLib.model.registry import build_model  # noqa: PLC0415

    torch.manual_seed(0)
    ours = build_model(ArSSR2Config(channels=1, blocks=1, feature_channels=2, decoder_layers=1))
    theirs = build_model(ArSSRConfig(encoder="ResCNN", feature_channels=1, decoder_depth=2, decoder_width=1))
    small = {"encoder.head.0.weight": torch.zeros(1, 1, 3, 3, 3), "other": torch.arange(3)}
    found = []
    with tempfile.TemporaryDirectory() as folder:
        found.append(save_model(ours, Path(folder) / "m.safetensors", metadata={"title": "Seed"}).read_bytes())
    for content, archive in ((small, True), (small, False), (theirs.state_dict(), True)):
        stream = io.BytesIO()
        torch.save(content, stream, _use_new_zipfile_serialization=archive)
        found.append(stream.getvalue())
    return [content for content in found if len(content) < 30_000]


def _records() -> list[bytes]:
    record = {"format": 2, "version": "0", "torch": "2", "model": "arssr2", "model_sha256": "0" * 64}
    record |= {"scale": [2.0, 2.0, 2.0], "region": None, "size": [4, 4, 4], "threads": 1, "tiles": 1}
    record |= {"largest_tile": 8, **UpsamplingOptions(device="cpu", precision="fp32").as_table()}
    record |= {"profile": [None, {"kind": "gaussian", "width": 1.0, "source": "DICOM"}, None], "disagreement": 0.1}
    record |= {"slice_gains": {"axis": "k", "rms": 2.5, "largest": 6.25}}
    return [json.dumps({**record, "input_sha256": "0" * 64, "result_sha256": "f" * 64}).encode()]
