"""Looking values up: once, literally, and never as anything that runs."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.errors import InvalidInput
from runbooks.lookup import (
    MAX_EXPRESSION,
    ROOTS,
    MissingValue,
    expression_fault,
    holds,
    paths_in,
    reads,
    resolve,
    segments,
    stands,
    unclosed,
)

CONTEXT: dict[str, Any] = {
    "finding": {"id": "f-1", "severity": 8, "sample": False, "list": ["a", {"b": "c"}], "no": None},
    "target": {"id": "i-1", "tags": {"environment": "production", "aws:name": "web", "empty": ""}},
    "incident": {"id": "inc-1"},
    "account": {"id": "111122223333"},
    "steps": {"ec2.snapshot": {"ids": ["snap-1"]}, "tag": {"done": True}},
}
TEXT = st.text(max_size=60)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("${finding.id}", "f-1"),
        ("${finding.severity}", 8),
        ("${finding.sample}", False),
        ("${finding.list}", ["a", {"b": "c"}]),
        ("${finding.list[1].b}", "c"),
        ('${target.tags."aws:name"}', "web"),
        ("${target.tags.empty}", ""),
        ("${steps.ec2.snapshot.ids[0]}", "snap-1"),
        ('${steps."ec2.snapshot".ids}', ["snap-1"]),
        ("${steps.tag.done}", True),
        ("case ${finding.id} on ${target.id}", "case f-1 on i-1"),
        ("${finding.severity}/${finding.sample}", "8/false"),
        ("$${finding.id} costs 5$$", "${finding.id} costs 5$"),
        ("costs 5$", "costs 5$"),
        ({"a": ["${finding.id}", 7]}, {"a": ["f-1", 7]}),
        ({"${finding.id}": "a key is no look-up"}, {"${finding.id}": "a key is no look-up"}),
    ],
)
def test_what_is_looked_up_is_found_with_its_type(value: Any, found: Any) -> None:
    assert resolve(value, CONTEXT) == found


@pytest.mark.parametrize(
    "path",
    [
        "finding.nope",
        "finding.no",
        "finding.id.deeper",
        "finding.list[2]",
        "finding.list.a",
        "finding[0]",
        "env.AWS_SECRET_ACCESS_KEY",
        "finding.__class__",
        "steps.ec2.snapshot.nope",
        "steps.nope.ids",
        "steps",
        "",
        " finding.id ",
        "finding..id",
    ],
)
def test_what_is_not_there_is_missing_by_its_path(path: str) -> None:
    context = {**CONTEXT, "steps": None} if path == "steps" else CONTEXT
    with pytest.raises(MissingValue) as missing:
        resolve(f"${{{path}}}", context)
    assert missing.value.path == path
    assert missing.value.exit_code == 2


@pytest.mark.parametrize("path", ["finding.list", "target.tags"])
def test_a_list_or_mapping_can_not_stand_within_text(path: str) -> None:
    with pytest.raises(InvalidInput, match="can't stand within text"):
        resolve(f"x ${{{path}}}", CONTEXT)


@given(TEXT)
def test_any_text_of_a_finding_stays_what_it_is(text: str) -> None:
    context = {"finding": {"title": text, "id": "f-1"}}
    assert resolve("${finding.title}", context) == text
    assert resolve("<${finding.title}|${finding.id}>", context) == f"<{text}|f-1>"


@pytest.mark.parametrize(
    "text",
    [
        "${finding.id}",
        "${env.AWS_SECRET_ACCESS_KEY}",
        "$${finding.id}",
        "{{7*7}}",
        "{% for x in y %}",
        "$(id)",
        "`id`",
        "%(id)s",
        "{0.__class__}",
        "\\g<0>",
        "<!channel>",
    ],
)
def test_text_that_looks_like_an_instruction_is_looked_up_once_and_not_followed(text: str) -> None:
    context = {"finding": {"title": text, "id": "f-1"}}
    assert resolve({"a": ["${finding.title}"]}, context) == {"a": [text]}
    assert resolve("about ${finding.title}.", context) == f"about {text}."


@given(ANY)
def test_any_value_comes_out_as_it_is(value: Any) -> None:
    found = resolve("${finding.value}", {"finding": {"value": [value]}})
    assert repr(found) == repr([value])


@given(TEXT | st.sampled_from(ROOTS).flatmap(lambda root: TEXT.map(lambda text: f"{root}.{text}")))
def test_any_path_is_found_or_missing(path: str) -> None:
    for value in (f"${{{path}}}", f"x ${{{path}}}"):
        # Anything else that were raised would fail this test.
        with suppress(MissingValue):
            found = resolve(value, CONTEXT) if value[0] == "$" else None
            if not isinstance(found, dict | list):
                resolve(value, CONTEXT)
    parts = segments(path)
    assert parts is None or isinstance(parts[0], str)


@given(ANY)
def test_a_value_without_look_ups_needs_nothing(value: Any) -> None:
    if not list(paths_in(value)) and "$$" not in repr(value):
        assert repr(resolve(value, {})) == repr(value)


@pytest.mark.parametrize("depth", [100, 249, 500])
def test_a_condition_that_is_all_brackets_is_refused_in_words(depth: int) -> None:
    fault = expression_fault("(" * depth + "target.x")
    assert fault
    assert "\n" not in fault[0]
    assert expression_fault("!" * depth) is not None


@pytest.mark.parametrize("text", ["${finding.id", "x ${", "${a${finding.id}"])
def test_a_look_up_that_is_not_closed_is_noticed(text: str) -> None:
    assert unclosed({"a": [text]})
    assert not unclosed({"a": ["${finding.id}", "$${finding.id", "5$", 7]})


@pytest.mark.parametrize(
    ("expression", "true"),
    [
        ("target.tags.environment == 'production'", True),
        ("target.tags.environment == 'staging'", False),
        ("finding.severity >= `7` && !(finding.sample)", True),
        ("finding.severity", True),
        ("contains(finding.list, 'a')", True),
        ("finding.nope", False),
        ("target.tags.empty", False),
        ("length(finding.list) == `2`", True),
        ("finding.list[?@ == 'z']", False),
        ('steps."ec2.snapshot".ids', True),
    ],
)
def test_a_steps_condition_holds_as_jmespath_says(expression: str, true: bool) -> None:
    assert holds(expression, CONTEXT) is true


def test_a_steps_condition_that_can_not_be_evaluated_is_a_sentence() -> None:
    with pytest.raises(InvalidInput, match=r"contains.* can't be evaluated: .*invalid type"):
        holds("contains(finding.nope, 'x')", CONTEXT)


@pytest.mark.parametrize(
    ("expression", "needed", "why"),
    [
        ("target.tags.environment == 'production'", True, "target.tags.environment =="),
        ("target.tags.environment == 'staging'", False, "not target.tags.environment"),
        ("target.tags.owner == 'me'", True, "target.tags.owner is not set, so the gate stands"),
        ("target.tags.owner != 'me'", True, "is not set, so the gate stands"),
        ("!(target.tags.owner == 'me')", True, "is not set, so the gate stands"),
        ("contains(['a'], target.tags.nope.x)", True, "is not set, so the gate stands"),
        ("starts_with(finding.severity, 'x')", True, "can't be evaluated"),
        ("target.tags.environment == 'x' || target.tags.owner == 'y'", True, "so the gate stands"),
    ],
)
def test_a_gate_stands_where_its_condition_is_true_or_unknown(
    expression: str, needed: bool, why: str
) -> None:
    verdict, reason = stands(expression, CONTEXT)
    assert verdict is needed
    assert why in reason


@pytest.mark.parametrize(
    ("expression", "message", "offset"),
    [
        ("target.x = 'y'", "Unknown token '='", 9),
        ("target.x ==", "Incomplete expression", 11),
        ("target..x", "got: dot", 7),
        ("target.x == 'y", "Unclosed ' delimiter", 12),
        ("", "cannot be empty", 0),
        ("tarket.x", "there is no 'tarket'", 0),
        ("env.SECRET == 'x'", "there is no 'env'", 0),
        ("target.x || system(target.y)", "there is no function system()", 12),
        ("length(target.a, target.b)", "length() takes 1 argument(s), not 2", 0),
        ("merge()", "at least 1 argument(s), not 0", 0),
        ("!target.tags.approved", "! takes only the name after it; write !(a.b)", 0),
        ("target.x && !finding.list[0]", "write !(a.b)", 12),
        ("target." * 100, "at most 500 characters", 0),
    ],
)
def test_what_is_wrong_with_a_condition_is_said_with_its_place(
    expression: str, message: str, offset: int
) -> None:
    fault = expression_fault(expression)
    assert fault
    assert message in fault[0]
    assert "\n" not in fault[0]
    assert fault[1] == offset
    assert reads(expression) == set()
    with pytest.raises(InvalidInput, match="can't be read"):
        holds(expression, CONTEXT)
    with pytest.raises(InvalidInput, match="can't be read"):
        stands(expression, CONTEXT)


@given(
    st.text(
        st.sampled_from("abtarget.findings[]{}()|&!<>=*?@'`\"$:,0123 \\-#%/+\x00é"), max_size=60
    )
)
@pytest.mark.filterwarnings("ignore:deprecated string literal")
def test_any_condition_is_evaluated_or_refused_in_words(expression: str) -> None:
    if expression_fault(expression):
        return
    assert stands(expression, {})[1]
    with suppress(InvalidInput):
        assert holds(expression, CONTEXT) in {True, False}


def test_a_gate_stands_where_what_is_within_a_list_or_function_is_unknown() -> None:
    for expression in (
        "target.lst[*].b",
        "contains(target.nope[*].x, 'y')",
        "length(target.nop.*)",
    ):
        assert "so the gate stands" in stands(expression, CONTEXT)[1]


def test_the_longest_conditions_are_evaluated_in_no_time() -> None:
    expression = ("target.tags.*[]." * 40)[: MAX_EXPRESSION - 2].rpartition(".")[0]
    assert expression_fault(expression) is None
    assert holds(expression, CONTEXT) is False


@pytest.mark.parametrize(
    ("expression", "paths"),
    [
        ("target.a.b == finding.c", {("target", "a", "b"), ("finding", "c")}),
        ("contains(target.list[*].name, 'x')", {("target", "list")}),
        ("target.list[?name == 'x'] | [0]", {("target", "list")}),
        ("target.a[0].b == 'x'", {("target", "a")}),
        ("target.{x: id, y: name}", {("target", "id"), ("target", "name")}),
        ("length(target.tags.*)", {("target", "tags")}),
        ("!(target.a.b)", {("target", "a", "b")}),
        ("`false`", set()),
        ("'a' == 'b'", set()),
    ],
)
def test_what_a_condition_reads_is_known(expression: str, paths: set[tuple[str, ...]]) -> None:
    assert reads(expression) == paths
