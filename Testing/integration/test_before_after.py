"""The picture at the top of the README, on a phantom and with the tiny model."""

from __future__ import annotations

import numpy as np
import pytest

from ArSSRLib import load_model, upsample, write_volume
from ArSSRLib.figure.views import orthogonal_views, sample


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("before_after")


def test_the_slab_shows_the_plane_of_the_whole_result(script, phantom, tiny_weights):
    plane = orthogonal_views([phantom])[2]
    scale = [length / (min(phantom.geometry.spacing) / 2) for length in phantom.geometry.spacing]

    _, result = script.slab_of(phantom, plane, tiny_weights)

    whole = upsample(phantom, load_model(tiny_weights), scale)
    np.testing.assert_allclose(sample(result, plane), sample(whole, plane), rtol=0, atol=1e-3 * np.ptp(phantom.array))


def test_the_picture_has_three_columns_and_two_rows(script, phantom, tiny_weights, tmp_path, monkeypatch):
    write_volume(phantom, tmp_path / "thick.nii.gz")
    figures = []
    monkeypatch.setattr(script, "save_figure", lambda figure, path: figures.append(figure))

    script.main([str(tmp_path / "thick.nii.gz"), "--model", str(tiny_weights), "--crop", "0", "0", "15", "20"])

    (figure,) = figures
    assert [text.get_text() for text in figure.texts[:5:2]] == ["As acquired", "Cubic interpolation", "ArSSR"]
    assert len(figure.axes) == 6
