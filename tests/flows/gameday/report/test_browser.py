"""The report in a real headless Chromium: on wide and narrow screens, light and dark, and printed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flows.gameday.assessment import Assessment, Phase
from flows.gameday.report import html
from tests.flows.gameday.report.assessments import assessment, hostile
from tests.flows.gameday.report.browser import Page, chromium

SCREENS = [(1280, False), (1280, True), (390, False), (390, True)]

# Text that is shown, with its colour and that of the ground beneath it, as [r, g, b].
CONTRASTS = r"""
(() => {
  const parts = (colour) => (colour.match(/[\d.]+/g) || []).map(Number);
  const light = (rgb) => rgb.slice(0, 3)
    .map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parts(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const bad = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !element.getClientRects().length || element.closest('svg title, svg desc')) continue;
    const style = getComputedStyle(element);
    const inDrawing = element.closest('svg');
    const bar = inDrawing && element.closest('g') && element.closest('g').querySelector('.phase');
    const under = bar && getComputedStyle(bar).fill !== 'none'
      ? [parts(getComputedStyle(bar).fill), ground(inDrawing)]
      : [ground(element)];
    const colour = light(parts(inDrawing ? style.fill : style.color));
    for (const beneath of under.map(light)) {
      const ratio = (Math.max(colour, beneath) + 0.05) / (Math.min(colour, beneath) + 0.05);
      const said = element.textContent.slice(0, 40);
      if (ratio < 4.5) bad.push(`${ratio.toFixed(2)} ${element.tagName}: ${said}`);
    }
  }
  return bad;
})()
"""

# Text of drawings that reaches beyond its drawing, and labels that lie on each other.
CUT = """
[...document.querySelectorAll('svg[role=img]')]
  .filter((svg) => svg.getClientRects().length)
  .flatMap((svg) => {
    const box = svg.getBoundingClientRect();
    return [...svg.querySelectorAll('text')]
      .filter((text) => {
        const own = text.getBoundingClientRect();
        return own.left < box.left - 1 || own.right > box.right + 1
          || own.top < box.top - 1 || own.bottom > box.bottom + 1;
      })
      .map((text) => text.textContent);
  })
"""
OVERLAPPING = """
[...document.querySelectorAll('svg.gantt')]
  .filter((svg) => svg.getClientRects().length)
  .flatMap((svg) => {
    const boxes = [...svg.querySelectorAll('.label')].map((t) => [t, t.getBoundingClientRect()]);
    return boxes.flatMap(([one, a], i) => boxes.slice(i + 1)
      .filter(([, b]) => a.left < b.right && b.left < a.right
        && a.top + 4 < b.bottom && b.top + 4 < a.bottom)
      .map(([other]) => `${one.textContent} / ${other.textContent}`));
  })
"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def opened(page: Page, tmp_path: Path):
    """Opens the report of an assessment; afterwards nothing may have gone wrong in the browser."""
    page.problems.clear()
    page.requests.clear()
    files: list[Path] = []

    def open_it(drill: Assessment, width: int = 1280, dark: bool = False) -> Page:
        file = tmp_path / f"report-{len(files)}.html"
        file.write_text(html(drill), encoding="utf-8")
        files.append(file)
        page.open(file, width=width, dark=dark)
        return page

    yield open_it
    assert page.problems == []
    assert page.requests == [file.as_uri() for file in files]


@pytest.mark.parametrize(("width", "dark"), SCREENS)
@pytest.mark.parametrize("made", [assessment, hostile])
def test_it_fits_the_screen_and_every_text_can_be_read(opened, made, width, dark) -> None:
    page = opened(made(), width, dark)
    assert page.tell("document.documentElement.scrollWidth <= innerWidth")
    assert page.tell(CONTRASTS) == []
    assert page.tell(CUT) == []


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("made", [assessment, hostile])
def test_labels_of_the_chart_do_not_lie_on_each_other(opened, made, width) -> None:
    page = opened(made(), width)
    assert page.tell(OVERLAPPING) == []
    assert page.tell(
        "[...document.querySelectorAll('svg.gantt')].some(s => s.getClientRects().length)"
    )


def test_the_chart_is_drawn_for_the_width_of_the_screen(opened) -> None:
    for width, shown in ((1280, ["wide"]), (390, ["narrow"])):
        page = opened(assessment(), width)
        assert (
            page.tell(
                "['wide', 'narrow'].filter(c => document.querySelector('.' + c).getClientRects().length)"
            )
            == shown
        )
        # Letters are as large as they were laid out for, and so can be read.
        scale = page.tell(
            "(() => { const svg = [...document.querySelectorAll('svg.gantt')]"
            ".find(s => s.getClientRects().length);"
            "return svg.getBoundingClientRect().width / svg.viewBox.baseVal.width })()"
        )
        assert 0.9 < scale < 1.15


def test_dark_is_dark_and_light_is_light(opened) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = opened(assessment(), dark=False).tell(ground)
    dark = opened(assessment(), dark=True).tell(ground)
    assert min(map(int, re.findall(r"\d+", light))) > 200
    assert max(map(int, re.findall(r"\d+", dark))) < 60


def test_what_bars_waited_for_is_told_by_more_than_their_colour(opened) -> None:
    page = opened(assessment())
    assert page.tell(
        "[...new Set([...document.querySelectorAll('.wide .hatch')]"
        ".map(r => getComputedStyle(r).fill))].sort()"
    ) == ['url("#hatch-AWS")', 'url("#hatch-people")']
    assert page.tell(
        "[...document.querySelectorAll('.wide .phase')].every(r => r.parentNode"
        ".querySelector('title').textContent.includes('waiting for '))"
    )


def test_a_reference_leads_to_its_line(opened) -> None:
    page = opened(assessment())
    page.tell("document.querySelector('#objectives .refs a').click()")
    assert page.tell("document.querySelector(':target').className") == "kind-inject"
    assert page.tell(
        "document.querySelector(':target').textContent.includes('CryptoCurrency:EC2/BitcoinTool.B')"
    )


def test_hostile_text_becomes_no_element(opened) -> None:
    page = opened(hostile())
    assert page.tell("document.querySelectorAll('script, img, iframe, object').length") == 0
    assert page.tell("document.querySelector('h1').textContent").startswith("<script>alert(1)")
    assert page.tell("[...document.links].every(a => ['file:', 'https:'].includes(a.protocol))")


def test_what_assistive_technology_reads(opened) -> None:
    page = opened(assessment())
    page.ask("Accessibility.enable")
    nodes = page.ask("Accessibility.getFullAXTree")["nodes"]
    page.ask("Accessibility.disable")
    named = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"]
    ]
    assert ("image", "Gantt chart of the drill") in named
    assert ("image", "Score of 100 over 8 drills") in named
    assert ("navigation", "Parts of the report") in named
    assert ("table", "Each objective, and by how much it was met or missed") in named
    assert ("region", "Objectives") in named
    assert [name for role, name in named if role in ("image", "table", "region") and not name] == []


def test_it_prints_on_pages_that_cut_nothing(opened) -> None:
    page = opened(_long())
    page.ask("Emulation.setEmulatedMedia", media="print")
    # What is left of an A4 page between its margins, at 96 pixels an inch.
    page.ask(
        "Emulation.setDeviceMetricsOverride",
        width=688,
        height=990,
        deviceScaleFactor=1,
        mobile=False,
    )
    highest = page.tell(
        "Math.max(...[...document.querySelectorAll('svg, tr, .tile, .differences li')]"
        ".map(e => e.getBoundingClientRect().height))"
    )
    avoids = page.tell(
        "[...document.querySelectorAll('svg, tr')]"
        ".every(e => getComputedStyle(e).breakInside === 'avoid')"
    )
    wide = page.tell("document.documentElement.scrollWidth")
    page.ask("Emulation.setEmulatedMedia", media="")
    assert 0 < highest < 990
    assert avoids
    assert wide <= 688
    printed = page.pdf()
    assert printed.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) > 5


def test_it_prints_in_light_colours_whatever_the_screen_is(opened) -> None:
    page = opened(assessment(), dark=True)
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    page.ask("Emulation.setEmulatedMedia", media="print", features=dark)
    ink = page.tell("getComputedStyle(document.body).color")
    bad = page.tell(CONTRASTS)
    page.ask("Emulation.setEmulatedMedia", media="")
    assert max(map(int, re.findall(r"\d+", ink))) < 80
    assert bad == []


def _long() -> Assessment:
    """A drill with sixty incidents and five hundred moments."""
    made = assessment()
    phases = tuple(
        Phase(f"inc-20261125-{number:06}", name, number * 9.0 + begins, number * 9.0 + ends, waits)
        for number in range(60)
        for name, begins, ends, waits in (
            ("Finding to incident", 0, 0.4, "Clampdown"),
            ("Gate contain: unseen", 1, 60 + number, "people"),
            ("Snapshots complete", 61 + number, 400, "AWS"),
        )
    )
    moments = tuple(
        replace(moment, at=moment.at + number, source=replace(moment.source, seq=1000 * number))
        for number in range(1, 28)
        for moment in made.moments
    )
    return replace(made, phases=phases, moments=(*made.moments, *moments))
