"""IAM User Guide, "IAM JSON policy elements: Condition operators" and what belongs to it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.gameday.aws.authorization.conditions import MalformedPolicy, conditions, glob

KEY = "aws:key"
_ARN = "arn:aws:sns:eu-west-1:123456789012:topic"


def holds(operator: str, wanted: Any, *given: str, **more: str) -> bool:
    """Whether a condition on one key holds for a request with these values of it."""
    context = {KEY: given, **{name.replace("_", ":"): (value,) for name, value in more.items()}}
    return all(item.holds(context) for item in conditions({operator: {"AWS:Key": wanted}}))


@pytest.mark.parametrize(
    ("operator", "wanted", "given", "held"),
    [
        ("StringEquals", "a", "a", True),
        ("StringEquals", "a", "A", False),
        ("StringEquals", "a*", "ab", False),
        ("StringEquals", ["b", "a"], "a", True),
        ("StringNotEquals", "a", "b", True),
        ("StringNotEquals", ["a", "b"], "b", False),
        ("StringEqualsIgnoreCase", "Prod", "pROD", True),
        ("StringNotEqualsIgnoreCase", "Prod", "pROD", False),
        ("StringLike", "a*c?", "abbbcd", True),
        ("StringLike", "a*c?", "abbbc", False),
        ("StringLike", "A*", "ab", False),
        ("StringNotLike", ["a*", "b*"], "c", True),
        ("StringNotLike", ["a*", "b*"], "bc", False),
        ("NumericEquals", "10", "10.0", True),
        ("NumericNotEquals", "10", "11", True),
        ("NumericLessThan", 10, "9.5", True),
        ("NumericLessThanEquals", "10", "10", True),
        ("NumericGreaterThan", "10", "10", False),
        ("NumericGreaterThanEquals", "10", "10", True),
        ("NumericLessThan", "10", "many", False),
        ("DateLessThan", "2026-01-01T00:00:00Z", "2025-12-31T23:59:59Z", True),
        ("DateLessThan", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", False),
        ("DateLessThanEquals", "2026-01-01", "2026-01-01T00:00:00+00:00", True),
        ("DateGreaterThan", "2026-01-01T01:00:00+01:00", "2026-01-01T00:00:01Z", True),
        ("DateGreaterThanEquals", "1767225600", "2026-01-01T00:00:00Z", True),
        ("DateEquals", "2026-01-01T00:00:00.000Z", "1767225600", True),
        ("DateNotEquals", "2026-01-01", "2026-01-02", True),
        ("DateLessThan", "2026-01-01", "soon", False),
        ("Bool", "true", "true", True),
        ("Bool", True, "true", True),
        ("Bool", "false", "true", False),
        ("BinaryEquals", "QmluYXJ5", "QmluYXJ5", True),
        ("BinaryEquals", "QmluYXJ5", "QmluYXJ6", False),
        ("IpAddress", "203.0.113.0/24", "203.0.113.9", True),
        ("IpAddress", ["10.0.0.0/8", "2001:db8::/32"], "2001:db8::7", True),
        ("IpAddress", "203.0.113.9", "203.0.113.9", True),
        ("IpAddress", "203.0.113.0/24", "203.0.114.9", False),
        ("NotIpAddress", "203.0.113.0/24", "203.0.114.9", True),
        ("ArnEquals", _ARN, _ARN, True),
        ("ArnEquals", "arn:aws:sns:*:123456789012:t*", _ARN, True),
        ("ArnLike", "arn:aws:sns:*:topic", _ARN, False),
        ("ArnLike", "arn:aws:sns:*:*:topic", _ARN, True),
        ("ArnNotEquals", _ARN, f"{_ARN}s", True),
        ("ArnNotLike", "arn:aws:sns:*:*:*", _ARN, False),
    ],
)
def test_an_operator_compares_as_documented(
    operator: str, wanted: Any, given: str, held: bool
) -> None:
    assert holds(operator, wanted, given) is held


@pytest.mark.parametrize(
    ("operator", "held"),
    [
        ("StringEquals", False),
        ("StringNotEquals", True),
        ("StringNotLike", True),
        ("ArnNotEquals", True),
        ("NotIpAddress", True),
        ("IpAddress", False),
        ("Bool", False),
        ("BoolIfExists", True),
        ("StringEqualsIfExists", True),
        ("ForAllValues:StringEquals", True),
        ("ForAnyValue:StringEquals", False),
        ("ForAnyValue:StringNotEquals", False),
    ],
)
def test_a_key_that_is_absent_is_no_match_but_for_negated_operators_and_if_exists(
    operator: str, held: bool
) -> None:
    wanted = "10.0.0.0/8" if "Ip" in operator else "true"
    assert holds(operator, wanted) is held


@pytest.mark.parametrize(
    ("absent", "given", "held"),
    [("true", (), True), ("true", ("x",), False), ("false", (), False), ("false", ("x",), True)],
)
def test_null_asks_whether_a_key_is_absent(absent: str, given: tuple[str, ...], held: bool) -> None:
    assert holds("Null", absent, *given) is held


@pytest.mark.parametrize(
    ("operator", "given", "held"),
    [
        ("ForAllValues:StringEquals", ("a", "b"), True),
        ("ForAllValues:StringEquals", ("a", "c"), False),
        ("ForAllValues:StringNotEquals", ("c", "d"), True),
        ("ForAllValues:StringNotEquals", ("a", "d"), False),
        ("ForAnyValue:StringEquals", ("c", "b"), True),
        ("ForAnyValue:StringEquals", ("c", "d"), False),
        ("ForAnyValue:StringNotEquals", ("a", "c"), True),
        ("ForAnyValue:StringNotEquals", ("a", "b"), False),
    ],
)
def test_keys_with_several_values_are_asked_with_for_all_and_for_any(
    operator: str, given: tuple[str, ...], held: bool
) -> None:
    assert holds(operator, ["a", "b"], *given) is held


def test_all_operators_and_all_keys_of_a_condition_must_hold() -> None:
    block = {"StringEquals": {"a": "1", "b": "2"}, "Bool": {"c": "true"}}
    context = {"a": ("1",), "b": ("2",), "c": ("true",)}

    def held(**changed: tuple[str, ...]) -> bool:
        return all(item.holds({**context, **changed}) for item in conditions(block))

    assert held()
    assert not held(a=("2",))
    assert not held(b=())
    assert not held(c=("false",))


@pytest.mark.parametrize(
    ("wanted", "given", "held"),
    [
        ("${aws:username}", "eve", True),
        ("home/${AWS:UserName}/*", "home/eve/x", True),
        ("home/${aws:username}/*", "home/adam/x", False),
        ("${aws:nobody}", "", False),
        ("${aws:nobody, 'guest'}", "guest", True),
        ("${aws:username, 'guest'}", "guest", False),
        ("${*}", "*", True),
        ("${*}", "x", False),
        ("a${?}${$}", "a?$", True),
    ],
)
def test_variables_stand_for_what_the_request_says(wanted: str, given: str, held: bool) -> None:
    assert holds("StringLike", wanted, given, aws_username="eve") is held


def test_a_wildcard_in_the_value_of_a_variable_is_none() -> None:
    assert not holds("StringLike", "${aws:username}", "eve", aws_username="*")
    assert holds("StringEquals", "${aws:username}", "*", aws_username="*")


def test_the_older_version_has_no_variables() -> None:
    block = {"StringEquals": {"k": "${aws:username}"}}
    [condition] = conditions(block, variables=False)

    assert condition.holds({"k": ("${aws:username}",), "aws:username": ("eve",)})
    assert not condition.holds({"k": ("eve",), "aws:username": ("eve",)})


@pytest.mark.parametrize(
    "block",
    [
        {"StringMatches": {"k": "v"}},
        {"ForSomeValues:StringEquals": {"k": "v"}},
        {"NullIfExists": {"k": "true"}},
        {"StringEquals": "v"},
        {"StringEquals": {"k": {"v": 1}}},
        [],
    ],
)
def test_what_iam_would_not_store_is_malformed(block: Any) -> None:
    with pytest.raises(MalformedPolicy):
        conditions(block)


texts = st.text("abAB*?${:/}", max_size=6)


@given(texts, texts)
def test_wildcards_match_as_if_tried_one_by_one(pattern: str, text: str) -> None:
    def matches(pattern: str, text: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "*":
            return any(matches(pattern[1:], text[skip:]) for skip in range(len(text) + 1))
        return bool(text) and pattern[0] in ("?", text[0]) and matches(pattern[1:], text[1:])

    assert (glob(pattern).fullmatch(text) is not None) == matches(pattern, text)


@given(
    st.sampled_from(["String{}Equals", "String{}EqualsIgnoreCase", "String{}Like"]),
    st.lists(st.text("abAB*?", max_size=4), min_size=1, max_size=3),
    st.text("abAB", max_size=4),
)
def test_a_negated_operator_says_the_opposite(
    operator: str, wanted: list[str], given_value: str
) -> None:
    positive = holds(operator.format(""), wanted, given_value)

    assert holds(operator.format("Not"), wanted, given_value) is not positive


@given(
    st.lists(st.text("abc", max_size=2), max_size=3),
    st.lists(st.text("abc", max_size=2), min_size=1, max_size=3),
)
def test_for_all_and_for_any_are_each_others_opposite(
    given_values: list[str], wanted: list[str]
) -> None:
    every = holds("ForAllValues:StringEquals", wanted, *given_values)
    some_other = holds("ForAnyValue:StringNotEquals", wanted, *given_values)

    assert every is not some_other
