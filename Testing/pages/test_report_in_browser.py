"""The report in an actual browser: swipe, slices and sorting with mouse and keys, without errors or a network."""

from __future__ import annotations

from importlib.util import find_spec

import phantoms
import pytest
from browser import Browser, browser_program

from ArSSRLib import VolumeGeometry, write_volume

NEEDED = ("jinja2", "PIL", "matplotlib")

SLICE = "[...document.querySelectorAll('[data-control=slice]')].map((c) => c.value)"
SWIPE = "Number(document.querySelector('[data-control=swipe]').value)"


@pytest.fixture(scope="module")
def browser():
    program = browser_program()
    if program is None:
        pytest.skip("Chromium is not installed (Debian: apt install chromium)")
    browser = Browser(program)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Pages of two subjects, one with problems in its results, and with texts that must not be interpreted as HTML."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)} (pip install -e '.[bids]')")
    from ArSSRLib.cohort.report.findings import Item  # noqa: PLC0415 - needs these packages
    from ArSSRLib.cohort.report.pages import write_report  # noqa: PLC0415 - as above

    folder = tmp_path_factory.mktemp("report")
    coarse = VolumeGeometry((24, 20, 8), (1.0, 1.2, 4.0), direction=phantoms.rotation(6, -4, 9))
    fine = coarse.resized((24, 20, 32))
    blobs = phantoms.blobs_in(coarse)
    scan = write_volume(phantoms.sample(blobs, coarse), folder / "scan.nii.gz")
    result = write_volume(phantoms.sample(blobs, fine), folder / "result.nii.gz")
    good = Item("T1w", "T1w", subject="02", result=result, source=scan, warnings=("<script>alert(1)</script>",))
    bad = Item("T1w", "T1w", subject="10", result=result, problem="It is <b>odd</b>.")
    none = Item("T1w", "T1w", subject="9", scan="sub-9/anat/sub-9_T1w.nii.gz", problem="It has no result yet.")
    write_report([good, bad, none], folder, 'A "study" & <i>more</i>')
    return folder


def test_pages_load_nothing_and_report_no_error(browser, report):
    for page in ("index.html", "sub-02.html", "sub-10.html"):
        browser.open(report / page)

        assert browser.value("[...document.images].every((image) => image.naturalWidth > 0)")
        assert browser.messages == []
        assert browser.requests == [(report / page).as_uri()]


def test_text_from_outside_is_shown_and_never_executed(browser, report):
    browser.open(report / "sub-02.html")

    assert browser.value("document.body.innerText.includes('<script>alert(1)</script>')")
    assert browser.value("document.scripts.length") == 1


def test_arrow_keys_change_slice_and_swipe_of_the_focused_plane(browser, report):
    browser.open(report / "sub-02.html")
    browser.value("document.querySelectorAll('.stage')[1].focus()")
    before = browser.value(SLICE)

    browser.press("ArrowUp", 38)
    browser.press("ArrowRight", 39)

    after = browser.value(SLICE)
    assert (after[0], int(after[1]), after[2]) == (before[0], int(before[1]) + 1, before[2])
    assert browser.value(SWIPE) == 52
    assert browser.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    told = browser.value("document.querySelectorAll('[data-control=slice]')[1].getAttribute('aria-valuetext')")
    assert told == f"slice {after[1]} of 9"


def test_a_drag_swipes_and_a_click_links_the_planes(browser, report):
    browser.open(report / "sub-02.html")
    box = "(({left, top, width, height}) => [left, top, width, height])(document.querySelector('.stage')"
    left, top, width, height = browser.value(f"{box}.getBoundingClientRect())")

    browser.drag((left + 0.5 * width, top + 0.5 * height), (left + 0.8 * width, top + 0.5 * height))
    assert browser.value(SWIPE) == pytest.approx(80, abs=1)
    seen = "getComputedStyle(document.querySelector('.side.right')).clipPath"
    assert browser.value(seen) == f"inset(0px 0px 0px {browser.value(SWIPE)}%)"

    corner = (left + 0.02 * width, top + 0.02 * height)
    browser.drag(corner, corner)
    # Right and front of the patient: coronal slices go from front to back, sagittal ones from left to right.
    assert browser.value(SLICE) == ["5", "1", "9"]


def test_another_layer_is_shown_with_its_color_scale(browser, report):
    browser.open(report / "sub-02.html")
    choose = "const c = document.querySelector('[data-side=right]'); c.value = 'difference';"
    browser.value(f"(() => {{ {choose} c.dispatchEvent(new Event('change')); }})()")

    shown = "[...document.querySelectorAll('.side.right img')].filter((i) => !i.hidden).map((i) => i.dataset.layer)"
    assert browser.value(shown) == ["difference"] * 3
    assert browser.value("document.querySelector('[data-key=difference]').checkVisibility()")


def test_the_index_sorts_by_keys_in_natural_order_with_empty_cells_last(browser, report):
    browser.open(report / "index.html")
    subjects = "[...document.querySelectorAll('tbody tr')].map((row) => row.cells[0].dataset.value)"
    browser.value("document.querySelectorAll('thead button')[0].focus()")

    browser.press("Enter", 13)
    assert browser.value(subjects) == ["10", "9", "02"]
    browser.press("Enter", 13)
    assert browser.value(subjects) == ["02", "9", "10"]
    browser.value("[...document.querySelectorAll('thead button')].find((b) => b.innerText.startsWith('Shift')).click()")
    assert browser.value(subjects)[0] == "02"
    assert browser.value("document.querySelectorAll('[aria-sort=descending]').length") == 1


@pytest.mark.parametrize("page", ["index.html", "sub-02.html"])
def test_controls_have_names_and_texts_have_contrast(browser, report, page):
    browser.open(report / page)
    nameless = """[...document.querySelectorAll('button, a, select, input, img, [tabindex]')].filter((e) =>
        !(e.innerText || e.alt || e.ariaLabel || e.labels?.length || e.getAttribute('aria-labelledby')))
        .map((e) => e.outerHTML.slice(0, 80))"""
    assert browser.value(nameless) == []
    for scheme in ("light", "dark"):
        browser.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        assert browser.value(CONTRAST) >= 4.5


# The lowest contrast by WCAG 2 of body text, secondary text, links and badges with their backgrounds.
CONTRAST = """(() => {
    const light = (color) => color.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
        .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
    const back = (e) => {
        const color = getComputedStyle(e).backgroundColor;
        return color.endsWith(', 0)') && e.parentElement ? back(e.parentElement) : color;
    };
    const texts = document.querySelectorAll('h1, h2, p, li, td, th, a, button, .badge, dt, dd');
    return Math.min(...[...texts].filter((e) => e.checkVisibility() && !e.closest('.skip')).map((e) => {
        const [a, b] = [light(getComputedStyle(e).color), light(back(e))].sort((x, y) => y - x);
        return (a + 0.05) / (b + 0.05);
    }));
})()"""
