"""The arguments of every command."""

from __future__ import annotations

import pytest

from ArSSRLib.commands.arguments import build_parser, join_numbers


def parse(*arguments):
    return build_parser(arguments[0]).parse_args(join_numbers(arguments))


@pytest.mark.parametrize(
    "arguments",
    [
        ("upsample", "in.nii", "out.nii", "--scale", "2", "2", "1.5"),
        ("upsample", "--scale", "2", "2", "1.5", "in.nii", "out.nii"),
        ("upsample", "in.nii", "--scale", "2", "2", "1.5", "out.nii"),
        ("upsample", "in.nii", "--scale=2,2,1.5", "out.nii"),
        ("upsample", "--scale", "2", "2", "1.5", "--", "in.nii", "out.nii"),
    ],
)
def test_file_names_are_never_parsed_as_numbers_of_a_scale(arguments):
    args = parse(*arguments)

    assert (args.input, args.output, args.scale) == ("in.nii", "out.nii", (2.0, 2.0, 1.5))


def test_one_scale_may_stand_for_all_axes():
    assert parse("upsample", "--scale", "3.2", "in.nii", "out.nii").scale == (3.2,)


@pytest.mark.parametrize("text", ["nan", "-1", "-1e9", "inf", "0"])
def test_impossible_scales_are_refused_by_the_engine_not_the_parser(text):
    assert len(parse("upsample", "in.nii", "out.nii", "--scale", text).scale) == 1


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("--scale", "abc"), '"abc" is not a number'),
        (("--scale", "2", "2"), "got 2"),
        (("--scale",), "--scale"),
        (("--scale", "2", "--isotropic"), "not allowed with"),
        ((), "--isotropic"),
        (("--spacing", "0"), "positive"),
        (("--spacing", "1", "nan", "1"), "positive"),
        (("--size", "64"), "three whole numbers"),
        (("--size", "64", "64", "32.5"), "three whole numbers"),
        (("--isotropic", "--memory-limit", "-1"), "positive"),
        (("--isotropic", "--precision", "fp8"), "bf16"),
        (("--isotropic", "--zoom"), "--zoom"),
        *[(("--isotropic", flag, ""), f"{flag}: expected a name") for flag in ("--model", "--series", "--figure")],
        (("--isotropic", "--quality", "best", "--uncertainty", " "), "--uncertainty: expected a name"),
    ],
)
def test_an_invalid_argument_is_refused_in_one_line(arguments, found, capsys):
    with pytest.raises(SystemExit) as leaving:
        parse("upsample", "in.nii", "out.nii", *arguments)

    error = capsys.readouterr().err
    assert leaving.value.code == 2
    assert len(error.splitlines()) == 1
    assert error.startswith("arssr: error: ")
    assert found in error


@pytest.mark.parametrize(
    "arguments",
    [
        ("upsample", "", "out.nii", "--scale", "2"),
        ("upsample", "in.nii", "", "--scale", "2"),
        ("info", ""),
        ("report", ""),
        ("bids", "", "out", "participant", "--isotropic"),
        ("bids", "in", "", "participant", "--isotropic"),
        *[("report", "result.nii", flag, "") for flag in ("--source", "--series", "--uncertainty", "--output")],
    ],
)
def test_an_unset_variable_of_a_shell_is_not_the_working_directory(arguments, capsys):
    with pytest.raises(SystemExit) as leaving:
        parse(*arguments)

    assert leaving.value.code == 2
    assert "expected a name, got an empty text" in capsys.readouterr().err


def test_every_command_has_help(capsys):
    for command in ("upsample", "models", "info", "convert-checkpoint", "train"):
        with pytest.raises(SystemExit) as leaving:
            parse(command, "--help")

        assert leaving.value.code == 0
        assert f"usage: arssr {command}" in capsys.readouterr().out
