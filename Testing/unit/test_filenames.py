"""Names that are invalid on some system are refused on every system, with the reason; other names are accepted."""

from __future__ import annotations

import pytest

from ArSSRLib.filenames import reserved_name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("CON", "device"),
        ("nul.nii.gz", "device"),
        ("Aux .nii", "device"),
        ("com1.nrrd", "device"),
        ("LPT².mha", "device"),
        ("10:30.nii.gz", ":"),
        ('a"b.nii', '"'),
        ("a|b.nii", "|"),
        ("what?.nii", "?"),
        ("all*.nii", "*"),
        ("a\\b.nii", "\\"),
        ("a\nb.nii", "control character 10"),
        ("brain.nii.", "dot"),
        ("brain.nii ", "space"),
        ("-", "standard input"),
    ],
)
def test_the_reason_is_stated_for_a_name_that_some_systems_do_not_allow(name, reason):
    assert reason in reserved_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "brain.nii.gz",
        "Größe 脳 (1).nrrd",
        "console.nii",
        "com10.nii",
        "-brain.nii",
        ".hidden.nii",
        "a'b;$(c)&d.nii",
        "",
        "..",
    ],
)
def test_all_other_names_are_accepted(name):
    assert reserved_name(name) == ""
