"""A packed volume equals the prepared one, except for rounding to 8 bits, and is used for training unchanged."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from training.runs import smooth_array, tiny_config, write_phantom

from ArSSRLib.errors import InputError
from ArSSRLib.io.sources import read_checked
from ArSSRLib.training import packing
from ArSSRLib.training.cache import prepared_volume
from ArSSRLib.training.dataset import load_training_volumes
from ArSSRLib.training.packing import STEP, pack, packed_sources, unpacked
from ArSSRLib.training.preparation import Preparation, prepare, store
from ArSSRLib.volume import hash_of


def anatomy(seed: int = 1) -> np.ndarray:
    """Smooth anatomy with air around it, more on one side of each axis."""
    array = np.zeros((30, 28, 34), np.float32)
    array[4:24, 6:24, 3:30] = 0.2 + smooth_array((20, 18, 27), 2.0, seed)
    return 800 * array


@pytest.fixture
def packed(tmp_path):
    """The original and the packed file."""
    original = write_phantom(tmp_path / "sub-01_T1w.nii.gz", anatomy(), spacing=(1.0, 1.1, 0.9))
    (tmp_path / "packed").mkdir()
    pack(original, tmp_path / "packed" / "sub-01_T1w.npz", 0)
    return original, tmp_path / "packed" / "sub-01_T1w.npz"


def test_voxels_differ_by_half_a_step_and_are_cropped_to_the_anatomy(packed):
    original, path = packed
    volume, voxel_hash = unpacked(path, Preparation())
    prepared = prepare(read_checked(original), Preparation())

    # Three voxels are kept around the anatomy.
    expected = prepared.array[1:27, 3:27, 0:33]
    assert volume.array.shape == expected.shape
    assert np.abs(volume.array - expected.clip(0, 255 * STEP)).max() <= 0.5 * STEP + 1e-6
    np.testing.assert_allclose(volume.geometry.spacing, prepared.geometry.spacing, rtol=1e-6)
    assert voxel_hash == hash_of(read_checked(original).array)


def test_the_same_voxels_are_foreground_so_that_the_same_patches_are_drawn(packed):
    original, path = packed
    whole = store(prepare(read_checked(original), Preparation()), subject="", voxel_hash="")
    small = prepared_volume(path, Preparation(), path.parent / "no-cache")

    assert len(small.foreground) == len(whole.foreground)
    torch.testing.assert_close(small.foreground + torch.tensor([1, 3, 0]), whole.foreground)
    assert not (path.parent / "no-cache").exists()


def test_it_is_neither_normalized_nor_resampled_again(packed, tmp_path):
    _, path = packed
    config = tiny_config(path.parent, target_spacings=(0.0,))

    ((volume,),) = load_training_volumes(packed_sources(path.parent, "train"), config)

    found = volume.stored.double() / 16384
    assert float((found - torch.from_numpy(unpacked(path, Preparation())[0].array)).abs().max()) < 1e-4


def test_a_folder_without_packed_volumes_is_read_as_ever(packed):
    original, path = packed

    assert [source.path for source in packed_sources(original.parent, "train")] == [original]
    assert [source.path for source in packed_sources(path.parent, "train")] == [path]
    assert packed_sources(path.parent, "train")[0].subject == "sub-01"


@pytest.mark.parametrize(
    ("preparation", "message"),
    [
        (Preparation(spacing=1.2), r"is packed at 1 x 1.1 x 0.9 mm, but the recipe asks for 1.2 mm; .* --spacing 1.2"),
        (Preparation(normalization="maximum"), 'set normalization to "percentile"'),
        (Preparation(crop_and_pad=(8, 8, 8)), r"crop_and_pad to \[\]"),
    ],
)
def test_a_use_that_packing_does_not_support_is_refused(packed, preparation, message):
    with pytest.raises(InputError, match=message):
        unpacked(packed[1], preparation)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not an archive"])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)

    with pytest.raises(InputError, match=r"a\.npz is not a packed volume .*; pack the original again"):
        unpacked(tmp_path / "a.npz", Preparation())


def test_the_command_packs_a_folder_and_stops_before_it_is_larger_than_asked(tmp_path, capsys):
    for number in range(3):
        write_phantom(tmp_path / "data" / f"sub-{number}.nii.gz", anatomy(number))
    words = [str(tmp_path / "data"), str(tmp_path / "packed")]

    assert packing.main([*words, "--spacing", "0"]) == 0
    sizes = [path.stat().st_size for path in sorted((tmp_path / "packed").iterdir())]
    assert len(sizes) == 3
    assert packing.main([*words, "--megabytes", str((sizes[0] + sizes[1]) / 1e6)]) == 0

    assert sorted(path.name for path in (tmp_path / "packed").glob("*")) == ["sub-0.npz", "sub-1.npz"]
    assert packing.main([str(tmp_path / "nothing"), words[1]]) == 2
    assert "packing: " in capsys.readouterr().err
