"""Preparation of volumes for training: checks, cropping, normalization, resampling, and the cache."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from training.runs import smooth_array, tiny_config, write_phantom

from ArSSRLib.errors import ArSSRError, InputError, OutputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io.sources import Source, find_sources, read_checked
from ArSSRLib.training import cache
from ArSSRLib.training.cache import ABOUT, FOREGROUND, VOXELS, default_folder, key_of, prepared_volume
from ArSSRLib.training.dataset import load_training_volumes
from ArSSRLib.training.preparation import (
    STORED_ONE,
    Preparation,
    crop_and_pad,
    prepare,
)
from ArSSRLib.volume import Volume, hash_of

FLIPPED = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)


def test_cropping_and_padding_leave_every_voxel_where_it_is(oblique_geometry):
    size = (11, 24, 9)  # fewer, more and as many as before
    i, j, k = np.meshgrid(*(np.arange(n) for n in oblique_geometry.size), indexing="ij")
    numbered = (1 + i + 100 * j + 10_000 * k).T.astype(np.float32)

    result = crop_and_pad(Volume(numbered, oblique_geometry), size)

    assert result.geometry.size == size
    assert result.array.shape == size[::-1]
    for voxel in ((0, 5, 3), (10, 20, 8), (5, 12, 0)):
        value = int(result.array[voxel[::-1]]) - 1
        before = (value % 100, value // 100 % 100, value // 10_000)
        np.testing.assert_allclose(
            (result.geometry.affine @ [*voxel, 1])[:3], (oblique_geometry.affine @ [*before, 1])[:3], atol=1e-9
        )
    assert result.array[0, 0, 0] == numbered.min()


def test_the_maximum_becomes_1_if_the_recipe_says_so():
    array = smooth_array((12, 12, 12))
    array[3, 3, 3] = 40
    volume = Volume(array, VolumeGeometry((12, 12, 12), (1.0, 1.0, 1.0)))

    assert prepare(volume, Preparation(normalization="maximum")).array.max() == 1
    assert prepare(volume, Preparation(normalization="percentile")).array.max() > 10


@pytest.mark.parametrize(
    ("direction", "letters"), [((1, 0, 0, 0, 1, 0, 0, 0, 1), "LPS"), ((0, -1, 0, 0, 0, -1, 1, 0, 0), "SRA")]
)
def test_an_orientation_is_named_by_where_the_axes_run(direction, letters):
    geometry = VolumeGeometry((2, 2, 2), (1.0, 1.0, 1.0), direction=tuple(map(float, direction)))

    assert geometry.orientation() == letters


# --- unusable volumes


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((12, 12, 12), np.float32), "nothing but background"),
        (np.full((12, 12, 12), 7, np.float32), "nothing but background"),
        (np.where(np.arange(12) == 5, np.nan, np.ones((12, 12, 12))), "contains 144 voxels that are NaN"),
        (np.where(np.arange(12) == 5, np.inf, np.ones((12, 12, 12))), "or infinite"),
        (smooth_array((12, 12, 4), 1.0), "4 x 12 x 12 voxels, fewer than a patch_size of 6"),
    ],
)
def test_a_volume_that_cannot_be_learned_from_is_named(tmp_path, array, reason):
    write_phantom(tmp_path / "case.nii.gz", array.astype(np.float32))

    with pytest.raises(InputError, match=f"case.nii.gz.*{reason}"):
        load_training_volumes(find_sources(tmp_path, "train"), tiny_config(tmp_path))


def test_a_file_that_is_no_volume_is_named(tmp_path):
    (tmp_path / "broken.nii.gz").write_bytes(b"not an image")

    with pytest.raises(ArSSRError, match=r"broken\.nii\.gz"):
        load_training_volumes(find_sources(tmp_path, "train"), tiny_config(tmp_path))


def test_mixed_orientations_are_refused_where_patches_are_not_turned(tmp_path):
    write_phantom(tmp_path / "a.nii.gz")
    write_phantom(tmp_path / "b.nii.gz", smooth_array((16, 18, 14), 1.0, seed=2), direction=FLIPPED)
    config = tiny_config(tmp_path)
    sources = find_sources(tmp_path, "train")

    assert len(load_training_volumes(sources, config)[0]) == 2
    with pytest.raises(InputError, match=r"b.nii.gz is stored along LAS, a.nii.gz along LPS.*augmentation = true"):
        load_training_volumes(sources, dataclasses.replace(config, augmentation=False))


def test_fixed_patches_are_cubes_of_their_volume(tmp_path):
    write_phantom(tmp_path / "case.nrrd")
    config = tiny_config(tmp_path, fixed_patches=6, fixed_patch_size=12)

    (cubes,) = load_training_volumes([Source(tmp_path / "case.nrrd", "case")], config)

    (whole,), *_ = load_training_volumes([Source(tmp_path / "case.nrrd", "case")], tiny_config(tmp_path))
    places = whole.stored.unfold(0, 12, 1).unfold(1, 12, 1).unfold(2, 12, 1)
    assert len(cubes) == 6
    for cube in cubes:
        assert (places == cube.stored).flatten(3).all(-1).sum() == 1


# --- the cache


@pytest.fixture
def phantom_file(tmp_path):
    return write_phantom(tmp_path / "case.nrrd", spacing=(0.9, 1.1, 2.5))


def test_the_cache_returns_the_prepared_volume(tmp_path, phantom_file, monkeypatch):
    preparation = Preparation(spacing=1.2)
    made = prepared_volume(phantom_file, preparation, tmp_path / "cache")
    monkeypatch.setattr(cache, "ground_truth", lambda *_: pytest.fail("was prepared again"))

    kept = prepared_volume(phantom_file, preparation, tmp_path / "cache")

    expected = prepare(read_checked(phantom_file), preparation)
    np.testing.assert_allclose(kept.stored.numpy() / STORED_ONE, expected.array, atol=0.51 / STORED_ONE)
    assert kept.spacing == expected.geometry.spacing[::-1]
    assert kept.voxel_hash == hash_of(read_checked(phantom_file).array)
    assert torch.equal(kept.foreground, made.foreground)


def test_a_moved_file_is_not_prepared_again_and_a_changed_one_is(tmp_path, phantom_file):
    preparation = Preparation()
    moved = phantom_file.rename(tmp_path / "moved.nrrd")
    changed = write_phantom(tmp_path / "changed.nrrd", smooth_array((16, 18, 14), 1.0, seed=5), spacing=(0.9, 1.1, 2.5))
    keys = [key_of(moved, preparation), key_of(changed, preparation), key_of(moved, Preparation(spacing=1.0))]
    write_phantom(phantom_file, spacing=(0.9, 1.1, 2.5))

    assert key_of(phantom_file, preparation) == keys[0]
    assert len(set(keys)) == 3


@pytest.mark.parametrize("name", [VOXELS, FOREGROUND, ABOUT])
@pytest.mark.parametrize("damage", ["cut", "bit", "gone"])
def test_a_damaged_entry_is_created_again(tmp_path, phantom_file, name, damage):
    preparation, folder = Preparation(), tmp_path / "cache"
    expected = prepared_volume(phantom_file, preparation, folder).stored.clone()
    file = folder / key_of(phantom_file, preparation) / name
    content = bytearray(file.read_bytes())
    content[-3] ^= 0x10
    file.unlink()
    if damage != "gone":
        file.write_bytes(content if damage == "bit" else content[: len(content) // 2])

    again = prepared_volume(phantom_file, preparation, folder)

    assert torch.equal(again.stored, expected)
    assert json.loads((file.parent / ABOUT).read_text(encoding="utf-8"))["shape"] == list(expected.shape)
    assert [entry.name for entry in folder.iterdir()] == [file.parent.name]


def test_a_preparation_that_breaks_off_leaves_nothing(tmp_path, phantom_file, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "_checksum", full)

    with pytest.raises(OutputError, match=r"No space left on device.*specify another cache"):
        prepared_volume(phantom_file, Preparation(), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_voxels_of_the_cache_that_are_changed_stay_as_they_are_on_the_disk(tmp_path, phantom_file):
    stored = prepared_volume(phantom_file, Preparation(), tmp_path / "cache").stored

    stored[0, 0, 0] = 77

    assert prepared_volume(phantom_file, Preparation(), tmp_path / "cache").stored[0, 0, 0] != 77


def test_the_default_cache_is_where_the_user_wants_caches(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert default_folder().is_relative_to(tmp_path)
