"""The Condition element of an IAM policy, evaluated on plain data.

IAM User Guide: "IAM JSON policy elements: Condition operators", "Conditions with multiple context
keys or values", "Multivalued context keys", "IAM policy elements: Variables and tags".
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

# Condition keys in lower case, because "condition key names are not case-sensitive", each with the
# values that the request has for it. A key that isn't there has none.
Context = Mapping[str, Sequence[str]]

Matches = Callable[[str], bool]

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_DEFAULT = re.compile(r"\s*([^,\s]+)\s*,\s*'([^']*)'\s*")
# What a variable has put into a pattern stands there for itself, wildcards included.
_LITERAL = {"*": "\ue000", "?": "\ue001", "$": "\ue002"}
_AS_LITERAL = str.maketrans(_LITERAL)
_FROM_LITERAL = str.maketrans({sign: char for char, sign in _LITERAL.items()})


class MalformedPolicy(ValueError):
    """A policy that IAM would not have stored."""


def fill(text: str, context: Context) -> str | None:
    """A policy's text with its variables replaced; None where one of them has no value.

    Only single-valued keys can be variables. ``${aws:username, 'nobody'}`` has a default;
    ``${*}``, ``${?}`` and ``${$}`` are the characters themselves.
    """
    missing = False

    def value(match: re.Match[str]) -> str:
        nonlocal missing
        name = match[1]
        if name in _LITERAL:
            return _LITERAL[name]
        with_default = _DEFAULT.fullmatch(name)
        key = with_default[1] if with_default else name.strip()
        found = context.get(key.lower(), ())
        if len(found) == 1:
            return found[0].translate(_AS_LITERAL)
        missing = missing or with_default is None
        return with_default[2].translate(_AS_LITERAL) if with_default else ""

    filled = _VARIABLE.sub(value, text)
    return None if missing else filled


def plain(text: str) -> str:
    """The text with what variables put into it as it reads."""
    return text.translate(_FROM_LITERAL)


@lru_cache(8192)
def glob(pattern: str) -> re.Pattern[str]:
    """``*`` is any text, ``?`` one character; everything else stands for itself."""
    return re.compile("".join(_glob_parts(pattern, ".*")), re.DOTALL)


def _glob_parts(pattern: str, star: str) -> Iterator[str]:
    for char in pattern:
        if char == "*":
            yield star
        elif char == "?":
            yield "."
        else:
            yield re.escape(plain(char))


@dataclass(frozen=True)
class Condition:
    """One operator on one key: ``{"StringLikeIfExists": {"aws:PrincipalTag/team": ["a*"]}}``.

    ``key`` is in lower case. ``qualifier`` is ``ForAllValues``, ``ForAnyValue`` or empty.
    ``variables`` says whether the policy's version has them (2012-10-17).
    """

    operator: str
    key: str
    values: tuple[str, ...]
    qualifier: str = ""
    if_exists: bool = False
    variables: bool = True

    def holds(self, context: Context) -> bool:
        """Whether the condition is met by a request with this context."""
        present = context.get(self.key, ())
        if self.operator == "Null":
            # "Use a Null condition operator to check if a condition key is absent".
            return (not present) == (self.values[0].lower() == "true")
        operator = _OPERATORS[self.operator]
        if not present:
            # "If the key that you specify in a policy condition is not present …, the values do not
            # match and the condition is false", for negated operators "true"; "IfExists: … if the
            # key is not present, evaluate the condition element as true". ForAllValues "also
            # returns true if there are no context keys in the request"; ForAnyValue "false".
            if self.if_exists or self.qualifier == "ForAllValues":
                return True
            return operator.negated and self.qualifier != "ForAnyValue"
        tests = self._tests(operator, context)
        met = (any(test(value) for test in tests) != operator.negated for value in present)
        if self.qualifier == "ForAnyValue":
            return any(met)
        if self.qualifier == "ForAllValues" or operator.negated:
            return all(met)
        return any(met)

    def _tests(self, operator: _Operator, context: Context) -> list[Matches]:
        if not (self.variables and operator.variables):
            return [operator.test(value) for value in self.values]
        filled = [fill(value, context) if "${" in value else value for value in self.values]
        return [operator.test(value) for value in filled if value is not None]


def conditions(block: Any, *, variables: bool = True) -> tuple[Condition, ...]:
    """Read the Condition element of a statement. Raises MalformedPolicy."""
    if not isinstance(block, Mapping):
        raise MalformedPolicy("Condition must be an object")
    return tuple(_read(block, variables))


def _read(block: Mapping[str, Any], variables: bool) -> Iterator[Condition]:
    for name, keys in block.items():
        qualifier, _, operator = name.rpartition(":")
        if_exists = operator.endswith("IfExists")
        operator = operator.removesuffix("IfExists")
        known = operator in _OPERATORS or (operator == "Null" and not if_exists)
        if not known or qualifier not in ("", "ForAllValues", "ForAnyValue"):
            raise MalformedPolicy(f"Invalid condition operator: {name}")
        if not isinstance(keys, Mapping):
            raise MalformedPolicy(f"{name} must be an object")
        for key, values in keys.items():
            texts = tuple(_text(value) for value in (values if _listed(values) else [values]))
            yield Condition(operator, key.lower(), texts, qualifier, if_exists, variables)


def _listed(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise MalformedPolicy(f"a condition's value can't be {value!r}")


# Operators


@dataclass(frozen=True)
class _Operator:
    """``test`` makes, from a policy's value, the test that a request's value has to pass."""

    test: Callable[[str], Matches]
    negated: bool = False
    # Variables are for string and ARN operators, and for no others.
    variables: bool = False


def _string(wanted: str) -> Matches:
    return plain(wanted).__eq__


def _string_ignoring_case(wanted: str) -> Matches:
    folded = plain(wanted).casefold()
    return lambda value: value.casefold() == folded


def _like(wanted: str) -> Matches:
    pattern = glob(wanted)
    return lambda value: pattern.fullmatch(value) is not None


@lru_cache(4096)
def _arn(wanted: str) -> Matches:
    # "Each of the six colon-delimited components of the ARN is checked separately and each can
    # include multi-character match wildcards (*) or single-character match wildcards (?)".
    if wanted == "*":
        return lambda value: True
    parts = [glob(part) for part in wanted.split(":", 5)]

    def matches(value: str) -> bool:
        given = value.split(":", 5)
        return len(given) == len(parts) and all(
            pattern.fullmatch(part) for pattern, part in zip(parts, given, strict=True)
        )

    return matches


def _bool(wanted: str) -> Matches:
    return lambda value: value.lower() == wanted.lower()


def _binary(wanted: str) -> Matches:
    def bytes_of(text: str) -> bytes | None:
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            return None

    expected = bytes_of(wanted)
    return lambda value: expected is not None and bytes_of(value) == expected


@lru_cache(1024)
def _address(wanted: str) -> Matches:
    try:
        network = ipaddress.ip_network(wanted, strict=False)
    except ValueError:
        raise MalformedPolicy(f"{wanted!r} is no IP address and no range of them") from None

    def matches(value: str) -> bool:
        try:
            return ipaddress.ip_address(value) in network
        except ValueError:
            return False

    return matches


def _ordered(
    parse: Callable[[str], Any], compare: Callable[[Any, Any], bool]
) -> Callable[[str], Matches]:
    def test(wanted: str) -> Matches:
        limit = parse(wanted)
        if limit is None:
            raise MalformedPolicy(f"a condition can't be compared with {wanted!r}")

        def matches(value: str) -> bool:
            given = parse(value)
            return given is not None and compare(given, limit)

        return matches

    return lru_cache(1024)(test)


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def _moment(text: str) -> datetime | None:
    """ "one of the W3C implementations of the ISO 8601 date formats or … epoch (UNIX) time"."""
    try:
        if re.fullmatch(r"-?\d+(\.\d+)?", text) and not re.fullmatch(r"\d{4}", text):
            return datetime.fromtimestamp(float(text), UTC)
        read = datetime.fromisoformat(f"{text}-01-01" if re.fullmatch(r"\d{4}", text) else text)
    except (ValueError, OverflowError, OSError):
        return None
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read


def _comparisons(kind: str, parse: Callable[[str], Any]) -> dict[str, _Operator]:
    same = _ordered(parse, lambda given, limit: bool(given == limit))
    return {
        f"{kind}Equals": _Operator(same),
        f"{kind}NotEquals": _Operator(same, negated=True),
        f"{kind}LessThan": _Operator(_ordered(parse, lambda given, limit: bool(given < limit))),
        f"{kind}LessThanEquals": _Operator(
            _ordered(parse, lambda given, limit: bool(given <= limit))
        ),
        f"{kind}GreaterThan": _Operator(_ordered(parse, lambda given, limit: bool(given > limit))),
        f"{kind}GreaterThanEquals": _Operator(
            _ordered(parse, lambda given, limit: bool(given >= limit))
        ),
    }


_OPERATORS: Mapping[str, _Operator] = {
    "StringEquals": _Operator(_string, variables=True),
    "StringNotEquals": _Operator(_string, negated=True, variables=True),
    "StringEqualsIgnoreCase": _Operator(_string_ignoring_case, variables=True),
    "StringNotEqualsIgnoreCase": _Operator(_string_ignoring_case, negated=True, variables=True),
    "StringLike": _Operator(_like, variables=True),
    "StringNotLike": _Operator(_like, negated=True, variables=True),
    **_comparisons("Numeric", _number),
    **_comparisons("Date", _moment),
    "Bool": _Operator(_bool),
    "BinaryEquals": _Operator(_binary),
    "IpAddress": _Operator(_address),
    "NotIpAddress": _Operator(_address, negated=True),
    # "The ArnEquals and ArnLike condition operators behave identically".
    "ArnEquals": _Operator(_arn, variables=True),
    "ArnLike": _Operator(_arn, variables=True),
    "ArnNotEquals": _Operator(_arn, negated=True, variables=True),
    "ArnNotLike": _Operator(_arn, negated=True, variables=True),
}
