"""The validation table: each volume in every setting, with the slice profile given, estimated or unknown."""

from __future__ import annotations

import numpy as np
import pytest
from phantoms import texture

from ArSSRLib.acquisition.estimate import Prediction, profile_of
from ArSSRLib.acquisition.profile import UNKNOWN, SliceProfile
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import write_volume
from ArSSRLib.training import table
from ArSSRLib.training.validation import SETTINGS
from ArSSRLib.volume import Volume

GUESS = Prediction(0.5, 0.01)


@pytest.fixture
def given(tmp_path, tiny_weights, monkeypatch):
    """Return a function that makes the table of one volume, and yields the profiles that the network was given."""
    folder = tmp_path / "volumes"
    folder.mkdir()
    write_volume(
        Volume((1000 * texture(24)).astype(np.int16), VolumeGeometry((24,) * 3, (1.2,) * 3)), folder / "one.nii.gz"
    )
    profiles, examined = [], []
    judge = table.score_case

    def noted(*args, profile, **more):
        profiles.append(profile)
        return judge(*args, profile=profile, **more)

    def guess(volume, unknown):
        examined.append(volume.geometry.spacing)
        return (GUESS,) * 3

    monkeypatch.setattr(table, "score_case", noted)
    monkeypatch.setattr(table, "BlindEstimate", lambda model, device: guess)

    def made(*arguments):
        output = tmp_path / "table.md"
        table.main([str(tiny_weights), str(folder), "--output", str(output), "--device", "cpu", *arguments])
        assert output.read_text(encoding="utf-8").count("| one |") == len(SETTINGS)
        return profiles, examined

    return made


def test_the_profile_is_given(given):
    profiles, _ = given()

    assert {axis.kind for profile in profiles for axis in profile.axes} == {"point", "gaussian"}


def test_the_profile_is_unknown(given):
    assert set(given("--profile", "unknown")[0]) == {UNKNOWN}


def test_the_profile_is_estimated_from_the_coarse_volume_along_the_axes_that_become_finer(given):
    profiles, examined = given("--profile", "estimated")

    axis = profile_of(GUESS)
    expected = [
        SliceProfile(tuple(axis if factor > 1 else None for factor in reversed(scale))) for scale, _ in SETTINGS
    ]
    assert profiles == expected
    np.testing.assert_allclose(examined, [[1.2 * s for s in reversed(scale)] for scale, _ in SETTINGS])
