"""The options of an upsampling: declared once, validated when created, and the same for every entry."""

from __future__ import annotations

import json
import math

import pytest
from messages import one_line

from ArSSRLib.commands.arguments import build_parser, options_of
from ArSSRLib.errors import InputError
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.record import record_of
from ArSSRLib.upsampling import carry_out, plan_upsampling
from ArSSRLib.worker.job import job_from_table

CHOSEN = UpsamplingOptions(device="cpu", backend="torch", precision="fp32", memory_limit=3.5, slice_thickness="3")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"memory_limit": 0}, "positive number of GB, .* got 0"),
        ({"memory_limit": -1}, "positive number of GB"),
        ({"memory_limit": "4"}, "positive number of GB"),
        ({"memory_limit": True}, "positive number of GB"),
        ({"memory_limit": math.inf}, "positive number of GB"),
        ({"memory_limit": math.nan}, "positive number of GB"),
        ({"precision": "double"}, 'auto, fp32, bf16, fp16 or int8, got "double"'),
        ({"precision": None}, "fp16 or int8, got null"),
        ({"backend": "onnx"}, 'expected torch, openvino or fused, got "onnx"'),
        ({"device": ""}, "device: expected a text that is not empty"),
        ({"device": 0}, "device: expected a text"),
        ({"device": "x" * 999}, None),
        ({"backend": "x" * 999}, r'got "x+\.\.\.'),
    ],
)
def test_an_invalid_value_is_refused_with_the_name_of_the_option(option, message):
    if message is None:
        assert UpsamplingOptions(**option).as_table() == UpsamplingOptions().as_table() | option
        return
    with pytest.raises(InputError, match=message) as error:
        UpsamplingOptions(**option)

    assert len(one_line(error)) < 200


def test_options_are_read_back_from_json():
    assert UpsamplingOptions.from_table(json.loads(json.dumps(CHOSEN.as_table()))) == CHOSEN


def test_every_option_is_a_flag_with_the_same_default():
    args = build_parser().parse_args(["upsample", "in.nii", "out.nii", "--isotropic"])

    assert options_of(args) == UpsamplingOptions()


def test_flags_become_options():
    chosen = {name: value for name, value in CHOSEN.as_table().items() if not isinstance(value, bool)}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in chosen.items()]

    args = build_parser().parse_args(["upsample", "in.nii", "out.nii", "--isotropic", *flags])

    assert options_of(args) == CHOSEN


def test_every_option_is_a_key_of_the_job():
    files = [{"input": "a.nrrd", "output": "b.nrrd"}]
    job = {"format": 1, "task": "upsample", "model": "arssr2", "scale": [2, 2, 2], "region": None, "volumes": files}

    assert job_from_table({**job, **CHOSEN.as_table()}).options == CHOSEN


def test_every_option_is_in_the_record_of_a_result(phantom, tiny_model):
    tiny_model.name, tiny_model.sha256 = "tiny", "0" * 64
    plan = plan_upsampling(phantom, tiny_model, 2, CHOSEN)

    record = record_of(phantom, carry_out(plan, phantom, tiny_model), tiny_model, plan)

    assert UpsamplingOptions.from_table(record) == CHOSEN


def test_a_plan_states_the_choice_for_auto(phantom, tiny_model):
    options = plan_upsampling(phantom, tiny_model, 2).options

    assert "auto" not in (options.device, options.precision)
