"""Protocols: every included one is valid, and mistakes are refused by name before anything is read."""

import dataclasses
import re
from pathlib import Path

import pytest
from evaluation.tables import PROTOCOL

from ArSSRLib.checkpoint import DEFAULT_MODEL
from ArSSRLib.errors import ArSSRError, InputError
from ArSSRLib.evaluation.protocol import PROTOCOLS, Protocol, Published, read_protocol
from ArSSRLib.evaluation.protocol_methods import TRUE, Method
from ArSSRLib.geometry import scale_label
from ArSSRLib.options import UpsamplingOptions

SHIPPED = sorted(path.stem for path in PROTOCOLS.glob("*.toml"))

PUBLISHED = '[[published]]\nmethod = "cubic"\nmetric = "psnr"\nscales = [2]\nvalues = [1]\n'


def read(tmp_path, text, overrides=()):
    path = tmp_path / "protocol.toml"
    path.write_text(text, encoding="utf-8")
    return read_protocol(path, overrides)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_protocol_is_known_by_its_name_has_the_default_model_and_is_changed_by_one_path(name, tmp_path):
    protocol = read_protocol(Path(name), [f"subjects={tmp_path}"])

    assert protocol.subjects == tmp_path
    assert DEFAULT_MODEL in [method.model for method in protocol.methods]


def test_no_method_of_the_thick_slices_needs_the_true_profile_which_real_ones_do_not_have():
    assert TRUE not in [method.profile for method in read_protocol(Path("thick_slice")).methods]


def test_the_shipped_protocols_are_those_of_the_paper_thick_slices_another_program_and_the_uncertainty():
    assert SHIPPED == ["eclare", "table1", "table2", "table3", "table4", "thick_slice", "uncertainty"]


def test_table_1_has_the_scales_and_the_methods_of_the_paper():
    protocol = read_protocol(Path("table1"))

    assert [scale_label(scale) for scale in protocol.scales] == ["2", "2.5", "3", "3.5", "4"]
    assert {"SRCNN3D", "DCSRN", "ResCNN", "ArSSR (published)"} < {method.name for method in protocol.methods}
    published = {row.method: row.values for row in protocol.published if row.metric == "psnr"}
    assert published["ArSSR (published)"] == (36.55, 34.57, 33.42, 31.98, 31.33)


def test_table_2_judges_lesions_synthetic_ones_unless_told_otherwise():
    protocol = read_protocol(Path("table2"))
    of_patients = read_protocol(Path("table2"), ["subjects=lesions.csv", "lesions="])

    assert (protocol.lesions, of_patients.lesions) == ("synthetic", "")
    assert "lesion_contrast" in protocol.metrics


@pytest.mark.parametrize("kind", [Protocol, Method, Published])
def test_every_key_is_described_once(kind):
    described = re.findall(r"^        (\w+): ", kind.__doc__.partition("Raises:")[0], flags=re.MULTILINE)

    assert described == [field.name for field in dataclasses.fields(kind)]


def test_a_file_in_the_working_directory_is_preferred_to_an_included_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("table1").write_text(PROTOCOL, encoding="utf-8")

    assert read_protocol(Path("table1")).title == "Phantoms"


def test_values_come_out_in_their_types(tmp_path):
    protocol = read(tmp_path, PROTOCOL, ["crop_size=[8, 9, 10]", "spacing=1", "real="])

    assert protocol.scales == ((2.0, 2.0, 2.0), (1.0, 1.0, 3.0))
    assert (protocol.crop_size, protocol.spacing, protocol.real) == ((8, 9, 10), 1.0, None)
    assert protocol.reference_name == "cubic"


def test_a_method_has_the_options_of_the_upsampling_that_it_names(tmp_path):
    text = PROTOCOL + '[[methods]]\nname = "ours"\nkind = "model"\nmodel = "arssr2"\nprofile = "true"\n'

    *_, plain = read(tmp_path, text).methods
    *_, best = read(tmp_path, text + "options = { quality = 'best', uncertainty = true }\n").methods

    assert (plain.profile, plain.options) == ("true", UpsamplingOptions())
    assert best.options == UpsamplingOptions(quality="best", uncertainty=True)


@pytest.mark.parametrize(
    ("scale", "label"), [((2, 2, 2), "2"), ((2.5, 2.5, 2.5), "2.5"), ((1, 1, 3), "1x1x3"), ((1, 1.25, 4), "1x1.25x4")]
)
def test_a_scale_has_one_label(scale, label):
    assert scale_label(scale) == label


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("subject = 'a'\n" + PROTOCOL, "unknown key subject; did you mean subjects"),
        (PROTOCOL + "weights = 'a'\n", "table 2 of methods has the unknown key weights"),
        (PROTOCOL.replace('kind = "cubic"', ""), "table 1 of methods lacks kind"),
        (PROTOCOL.replace('title = "Phantoms"', ""), "lacks title; add it to the protocol"),
        (
            PROTOCOL.replace('"back_projection"', '"spline"'),
            'kind of back = "spline" is not valid; expected one of',
        ),
        (PROTOCOL.replace('name = "back"', 'name = "cubic"'), "methods"),
        (PROTOCOL.replace('"back_projection"', '"model"'), "model of back"),
        (PROTOCOL.replace('"back_projection"', '"folder"'), "files of back"),
        (PROTOCOL + 'model = "a"\n', "model of back"),
        (
            PROTOCOL + 'command = "run"\n',
            'command of back = "run" is not valid; expected a command for the kind program',
        ),
        (PROTOCOL.replace('"back_projection"', '"program"\nfiles = "a"'), 'command of back = ""'),
        (PROTOCOL.replace('"back_projection"', '"program"\nfiles = "a"\ncommand = "run {x}"'), "pattern of back"),
        (PROTOCOL + 'profile = "gaussian"\n', 'profile or options of back = "gaussian"'),
        (PROTOCOL + 'profile = "wide"\n', 'profile of back = "wide" is not valid; expected one of true, point'),
        (PROTOCOL + "options = { quality = 'best' }\n", 'profile or options of back = "options"'),
        (PROTOCOL + "options = { depth = 1 }\n", "table options of back has the unknown key depth"),
        (PROTOCOL + "options = { uncertainty = true }\n", "quality standard makes only one; choose quality best"),
        (PROTOCOL + "options = 3\n", "options of back = 3 is not valid; expected a table"),
        (PROTOCOL.replace('"back_projection"', '"folder"\nfiles = "{who}"'), "pattern of back"),
        (PROTOCOL.replace("[2, [1, 1, 3]]", "2"), "scales = 2 must be a list"),
        (PROTOCOL.replace("[2, [1, 1, 3]]", "[1]"), "scales"),
        (PROTOCOL.replace("[2, [1, 1, 3]]", "[2, 2]"), "scales"),
        (PROTOCOL.replace("[2, [1, 1, 3]]", "[0.5]"), "Scale must be at least 1"),
        (PROTOCOL.replace("[2, [1, 1, 3]]", "[]"), "scales"),
        (PROTOCOL.replace('["psnr"]', '["snr"]'), 'metrics = "snr" is not valid; expected one of psnr'),
        (PROTOCOL.replace('["point"]', '["blur"]'), 'degradations = "blur"'),
        (PROTOCOL.replace('subjects = "subjects"', ""), "subjects"),
        ("crop_size = [4, 4, 4]\n" + PROTOCOL, "crop_size"),
        ("crop_margin = -1\n" + PROTOCOL, "crop_margin"),
        ("spacing = -1\n" + PROTOCOL, "spacing"),
        ("precision = 'fp8'\n" + PROTOCOL, "precision"),
        ("split = 'all'\n" + PROTOCOL, "split"),
        ("lesions = 'many'\n" + PROTOCOL, 'lesions = "many" is not valid; expected synthetic'),
        ("reference = 'nobody'\n" + PROTOCOL, 'reference = "nobody" is not valid; expected one of cubic, back'),
        (
            PROTOCOL + '[[published]]\nmethod = "x"\nmetric = "psnr"\nscales = [2]\nvalues = [1]\n',
            "method of published",
        ),
        (
            PROTOCOL + '[[published]]\nmethod = "cubic"\nmetric = "psnr"\nscales = [2]\nvalues = [1, 2]\n',
            "values of cubic",
        ),
        ("methods = 3\n" + PROTOCOL.partition("[[")[0], "methods must be tables"),
        ("= = =", "TOML protocol"),
    ],
)
def test_a_mistake_is_refused_by_name(tmp_path, text, reason):
    with pytest.raises(ArSSRError, match=reason):
        read(tmp_path, text)


def test_a_missing_protocol_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.toml cannot be read"):
        read_protocol(tmp_path / "nowhere.toml")
