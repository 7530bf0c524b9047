"""The page as it is written: one file that asks for nothing, with all of its parts."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from flows.gameday.assessment import Moment, Source
from flows.gameday.report import html
from flows.gameday.report.tables import facts, rows
from tests.flows.gameday.report.assessments import DRILL, FIRST, assessment, drill, hostile

ROOT = Path(__file__).parents[4]
VOID = {"meta", "br", "link", "img", "hr", "input"}
# Whatever could make a browser ask for something.
LOADS = {"src", "srcset", "poster", "data", "background", "action", "formaction", "ping", "style"}


class Read(HTMLParser):
    """The page's elements, with a check that every one is closed where it should be."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.mark.parametrize("made", [assessment, hostile])
def test_nothing_in_it_runs_or_asks_for_anything(made) -> None:
    page = html(made())
    read = Read(page)
    tags = {tag for tag, _ in read.elements}
    assert not tags & {"script", "img", "link", "iframe", "object", "embed", "form", "base", "use"}
    for tag, attributes in read.elements:
        assert not LOADS & set(attributes), tag
        assert not [name for name in attributes if name.startswith("on")], tag
        assert attributes.get("href", "#").startswith(
            ("#", "https://attack.mitre.org/techniques/T")
        ) or (made is hostile)
    style = re.search(r"<style>(.*)</style>", page, re.S)[1]
    assert "url(" not in style
    assert "@import" not in style


def test_the_policy_allows_its_own_style_sheet_alone() -> None:
    page = html(assessment())
    style = re.search(r"<style>(.*)</style>", page, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = [
        meta["content"]
        for meta in Read(page).all("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


@pytest.mark.parametrize("made", [assessment, hostile])
def test_every_reference_leads_somewhere_and_ids_are_unique(made) -> None:
    read = Read(html(made()))
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    leads = {a["href"][1:] for a in read.all("a") if a["href"].startswith("#")}
    assert leads <= set(ids)
    labels = [
        label
        for _, attributes in read.elements
        for label in (attributes.get("aria-labelledby") or "").split()
    ]
    assert labels
    assert set(labels) <= set(ids)


def test_figures_lead_to_the_line_of_the_timeline_that_they_were_made_from() -> None:
    page = html(assessment())
    assert f'<a href="#r-{FIRST}-31">{FIRST}#31</a>' in page
    assert f'id="r-{FIRST}-31"' in page
    # A record that the timeline has no line for is named all the same.
    assert f"<span>{DRILL}#40</span>" in page


def test_every_source_is_named() -> None:
    text = html(assessment())
    for seq in range(9, 40):
        assert re.search(rf">(?:{FIRST})?#{seq}<", text), seq


def test_of_several_moments_of_one_record_the_first_has_its_anchor() -> None:
    twice = tuple(Moment(at, "a", "machine", "b", Source("inc-1", 1)) for at in (5.0, 1.0))
    page = html(assessment(moments=twice))
    assert page.count('id="r-inc-1-1"') == 1
    assert (
        page.index('id="r-inc-1-1"') < page.index("0:00:01.0</td>") < page.index("0:00:05.0</td>")
    )


def test_all_parts_are_there_in_order() -> None:
    read = Read(html(assessment()))
    assert [section["id"] for section in read.all("section")] == [
        "objectives",
        "chart",
        "timings",
        "split",
        "timeline",
        "decisions",
        "refused",
        "faults",
        "calls",
        "differences",
        "evidence",
        "lessons",
        "trend",
        "coverage",
        "untested",
        "controls",
        "about",
        "sign-off",
    ]
    assert [a["href"] for a in read.all("a") if a["href"].startswith("#")][1:19] == [
        f"#{section['id']}" for section in read.all("section")
    ]


@pytest.mark.parametrize(
    "words",
    [
        "Not passed",
        "score 83.3 of 100",
        "6 of 9 objectives met, 1 missed, 1 partly, 1 not tested",
        "17 min 41 s from finding to containment, target 15 min",
        "96 % of that time spent waiting for people",
        "2 min 41 s too late",
        "5 min 47 s slower",
        "Approval of gate contain: not in oncall",
        "56 calls to 5 operations: 8 changes, 19 answers with an error",
        "sg-web, sg-admin",
        "No difference: everything was as at the start, but for evidence that is kept.",
        "snap-0a1b2c3d4e5f60718",
        "ana did not answer within 15 min.",
        "drill-20260415-a1b2c4",
        "rds-snapshot-shared never – Overdue",
        "Undoing the containment: nobody asked for it.",
        "NIST CSF RS.MI-01",
        "T1552.005",
        "ec2-compromise, playbooks.yaml b6d81b360a56",
        "Owns the playbook",
    ],
)
def test_what_a_reader_looks_for_is_said(words: str) -> None:
    assert words in Read(html(assessment())).text


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("sandbox", "SANDBOX Nothing real was touched"),
        ("twin", "TWIN Nothing real was changed"),
        ("shadow", "SHADOW Nothing real was changed"),
        ("replay", "REPLAY Nothing real was touched"),
        ("live drill", "LIVE DRILL Real changes in a real account"),
    ],
)
def test_the_mode_is_unmistakable(mode: str, said: str) -> None:
    page = html(assessment(mode=mode))
    assert said in Read(page).text
    assert f"<title>{mode.upper()}: " in page
    assert f'<body class="{mode.split()[0]}">' in page
    assert f"@page {mode.split()[0]} {{" in page


def test_a_drill_of_which_nothing_is_known_is_a_whole_page() -> None:
    read = Read(
        html(
            assessment(
                header={},
                techniques=(),
                verdicts=(),
                phases=(),
                moments=(),
                timings=(),
                people_share=None,
                fidelity={},
                decisions=(),
                quality={},
                safety={},
                evidence=(),
                journal={},
                faults=(),
                calls=(),
                differences=(),
                not_tested=(),
                lessons=(),
                past=(),
                coverage=(),
            )
        )
    )
    assert len(read.all("section")) == 18
    assert "Nothing was contained" in read.text


def test_hostile_text_is_shown_and_does_nothing() -> None:
    page = html(hostile())
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{{ 7 * 7 }}" in page
    # Neither what turns the direction of writing nor what forges a line gets through.
    for character in "\u202e\u202c\u2028\x00\x1b":
        assert character not in page
    assert "بروتوكول" in page


def test_tables_have_captions_and_their_columns_are_headers() -> None:
    read = Read(html(assessment()))
    assert len(read.all("table")) == len(read.all("caption"))
    assert all("scope" in header for header in read.all("th"))
    for tag, attributes in read.elements:
        if tag == "svg" and attributes.get("role") != "img":
            assert attributes.get("aria-hidden") == "true"


def test_headings_leave_no_level_out() -> None:
    levels = [
        int(tag[1]) for tag, _ in Read(html(assessment())).elements if re.fullmatch(r"h\d", tag)
    ]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_a_wheel_has_the_templates_and_the_style_sheet() -> None:
    builder = WheelBuilder(str(ROOT))
    shipped = {file.distribution_path for file in builder.recurse_included_files()}
    here = ROOT / "flows/gameday/report"
    ours = {f"flows/gameday/report/{path.name}" for path in here.iterdir() if path.is_file()}
    assert {path for path in ours if path.endswith((".html.j2", ".css"))}
    assert ours <= shipped


def test_mappings_of_numbers_stand_side_by_side() -> None:
    known = facts({"planned": {"a": 2, "b": 1}, "actual": {"a": 2, "c": 4}, "in_all": 6})
    ((caption, table),) = known.tables
    assert caption == "Planned, actual"
    assert [[cell.text for cell in row.cells] for row in table.rows] == [
        ["a", "2", "2"],
        ["b", "1", "0"],
        ["c", "0", "4"],
    ]
    assert known.single == (("In all", "6"),)


def test_a_table_has_every_key_and_the_records_apart() -> None:
    table = rows([{"b": 1, "sources": (drill(3),)}, {"a": "x", "source": drill(4)}], "a")
    assert [column.text for column in table.columns] == ["A", "B"]
    assert [column.figure for column in table.columns] == [False, True]
    assert [row.sources for row in table.rows] == [(drill(3),), (drill(4),)]
    assert [[cell.text for cell in row.cells] for row in table.rows] == [["", "1"], ["x", ""]]


def test_records_that_all_rows_share_are_said_once() -> None:
    alike = rows([{"a": 1, "sources": (drill(3),)}, {"a": 2, "sources": (drill(3),)}])
    assert (alike.shared, alike.traced) == ((drill(3),), False)
    apart = rows([{"a": 1, "sources": (drill(3),)}, {"a": 2, "sources": (drill(4),)}])
    assert (apart.shared, apart.traced) == ((), True)


def test_long_parts_scroll_in_themselves_and_can_be_reached_by_the_keyboard() -> None:
    moments = tuple(Moment(at, "a", "machine", "b", Source("inc-1", at)) for at in range(40))
    regions = [
        attributes
        for tag, attributes in Read(html(assessment(moments=moments))).elements
        if attributes.get("class") == "long"
    ]
    assert regions == [
        {"class": "long", "tabindex": "0", "role": "region", "aria-label": "Timeline, 40 lines"}
    ]
