"""Looking values up: ``${…}`` in playbooks, and the conditions of ``when``.

A look-up is a path into plain data, done exactly once. What is found is never looked into again,
parsed or evaluated: a finding whose title is ``${env.SECRET}`` or ``{{7*7}}`` stays literally that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from runbooks.errors import InvalidInput

ROOTS = ("finding", "target", "incident", "account", "steps")
MAX_EXPRESSION = 500

_TOKEN = re.compile(r"\$\$|\$\{([^{}]*)\}")
_SEGMENT = re.compile(r'(?:^|\.)([A-Za-z_][A-Za-z0-9_-]*)|\[(\d{1,4})\]|\."([^"]{1,128})"')


class MissingValue(InvalidInput):
    """What ``${…}`` names is not there. ``path`` is the path."""

    def __init__(self, path: str) -> None:
        super().__init__(f"There is no {path!r} to look up.")
        self.path = path


def paths_in(value: Any) -> Iterator[str]:
    """Every path that ``${…}`` names in a value, which may be nested."""
    if isinstance(value, str):
        for match in _TOKEN.finditer(value):
            if match[1] is not None:
                yield match[1]
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from paths_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from paths_in(item)


def segments(path: str) -> list[str | int] | None:
    """The names and indices of a path; None where it isn't one."""
    found: list[str | int] = []
    end = 0
    for match in _SEGMENT.finditer(path):
        if match.start() != end:
            return None
        end = match.end()
        name, index, quoted = match.groups()
        found.append(int(index) if index is not None else name or quoted)
    return found if found and end == len(path) and isinstance(found[0], str) else None


def resolve(value: Any, context: Mapping[str, Any]) -> Any:
    """The value with every ``${path}`` replaced by what stands there; ``$$`` is a dollar.

    A string that is nothing but one look-up takes the value with its type; within other text only
    numbers, strings and booleans can stand.

    Raises MissingValue, and InvalidInput where a list or mapping would stand within text.
    """
    if isinstance(value, Mapping):
        return {key: resolve(item, context) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [resolve(item, context) for item in value]
    if not isinstance(value, str):
        return value
    whole = _TOKEN.fullmatch(value)
    if whole and whole[1] is not None:
        return _found(whole[1], context)
    return _TOKEN.sub(lambda match: _as_text(match, context), value)


def unclosed(value: Any) -> bool:
    """Whether a text in the value, which may be nested, has a ``${`` that names no path."""
    if isinstance(value, str):
        return "${" in _TOKEN.sub("", value)
    if isinstance(value, Mapping):
        return any(unclosed(item) for item in value.values())
    return isinstance(value, (list, tuple)) and any(unclosed(item) for item in value)


def holds(expression: str, context: Mapping[str, Any]) -> bool:
    """Whether a step's JMESPath condition is true.

    Raises InvalidInput where it can't be evaluated on what is there.
    """
    return _truth(_searched(_compiled(expression), expression, context))


def stands(expression: str, context: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a gate with this condition stands, and why.

    It fails closed: where something that the condition reads is not there, or it can't be
    evaluated on what is there, the gate stands.
    """
    compiled = _compiled(expression)
    for path in sorted(_fields(compiled.parsed)):
        if _lookup(path, context) is None:
            return True, f"{'.'.join(path)} is not set, so the gate stands"
    try:
        if _truth(_searched(compiled, expression, context)):
            return True, expression
    except InvalidInput as error:
        return True, f"{error.what} So the gate stands."
    return False, f"not {expression}"


def reads(expression: str) -> set[tuple[str, ...]]:
    """The paths that a condition reads; empty for one that can't be read at all."""
    import jmespath

    if expression_fault(expression):
        return set()
    return _fields(jmespath.compile(expression).parsed)


def expression_fault(expression: str) -> tuple[str, int] | None:
    """What is wrong with a condition, and at which offset; None where nothing is."""
    import jmespath

    if len(expression) > MAX_EXPRESSION:
        return f"a condition has at most {MAX_EXPRESSION} characters", 0
    try:
        parsed = jmespath.compile(expression).parsed
        paths, calls = sorted(_fields(parsed)), list(_calls(parsed))
        negated = _negates_a_part(parsed)
    except jmespath.exceptions.JMESPathError as error:
        return _without_prefix(str(error)), getattr(error, "lex_position", 0) or 0
    except RecursionError:
        return "it is nested too deeply", 0
    for path in paths:
        if path[0] not in ROOTS:
            return f"there is no {path[0]!r} to look into; there is {', '.join(ROOTS)}", 0
    if negated:
        # JMESPath's grammar: `!a.b` is `(!a).b`, which is never true.
        return "! takes only the name after it; write !(a.b)", max(expression.find("!"), 0)
    for name, count in calls:
        if fault := _call_fault(name, count):
            return fault, max(expression.find(name), 0)
    return None


def _compiled(expression: str) -> Any:
    import jmespath

    if fault := expression_fault(expression):
        raise InvalidInput(f"The condition {expression!r} can't be read: {fault[0]}.")
    return jmespath.compile(expression)


def _searched(compiled: Any, expression: str, context: Mapping[str, Any]) -> Any:
    import jmespath

    try:
        return compiled.search(context)
    except (jmespath.exceptions.JMESPathError, ArithmeticError, TypeError, ValueError) as error:
        raise InvalidInput(
            f"The condition {expression!r} can't be evaluated: {_without_prefix(str(error))}."
        ) from error


def _without_prefix(message: str) -> str:
    """JMESPath's message without what is said already, and without its picture of the place."""
    lines = message.splitlines() or ["it is no JMESPath"]
    text = re.sub(r"^(Invalid|Bad) (jmespath|JMESPath) expression: ", "", lines[0])
    return re.sub(r": Parse error at column \d+.*$", "", text).rstrip(".:")


def _negates_a_part(node: Any) -> bool:
    within = [child for child in node.get("children", []) if isinstance(child, dict)]
    chained = node["type"] in {"subexpression", "index_expression"} or "projection" in node["type"]
    return (chained and within[0]["type"] == "not_expression") or any(
        "type" in child and _negates_a_part(child) for child in within
    )


def _calls(node: Any) -> Iterator[tuple[str, int]]:
    """The functions that an expression calls, with the number of their arguments."""
    if node["type"] == "function_expression":
        yield node["value"], len(node["children"])
    for child in node.get("children", []):
        if isinstance(child, dict) and "type" in child:
            yield from _calls(child)


def _call_fault(name: str, count: int) -> str:
    from jmespath.functions import Functions

    known = Functions.FUNCTION_TABLE
    if name not in known:
        return f"there is no function {name}()"
    signature = known[name]["signature"]
    variadic = bool(signature) and bool(signature[-1].get("variadic"))
    if count < len(signature) or (count > len(signature) and not variadic):
        least = "at least " if variadic else ""
        return f"{name}() takes {least}{len(signature)} argument(s), not {count}"
    return ""


def _truth(value: Any) -> bool:
    """JMESPath's truth: false, null, and everything empty are false; zero is true."""
    return not (value is None or value is False or value in ("", [], {}))


def _fields(node: Any) -> set[tuple[str, ...]]:
    """The paths that an expression reads, as far as they start at the root."""
    if node["type"] == "field":
        return {(node["value"],)}
    if node["type"] in {"subexpression", "index_expression"}:
        first, *rest = node["children"]
        if first["type"] != "field":
            return _fields(first)
        path: tuple[str, ...] = (first["value"],)
        for child in rest:
            if child["type"] != "field":
                # What stands within a list or a function has no path of its own.
                return {(*path, *inner) for inner in _fields(child)} or {path}
            path = (*path, child["value"])
        return {path}
    if node["type"] in {"projection", "filter_projection", "value_projection", "flatten", "pipe"}:
        return _fields(node["children"][0])
    return {path for child in node.get("children", []) for path in _fields_of(child)}


def _fields_of(child: Any) -> set[tuple[str, ...]]:
    return _fields(child) if isinstance(child, dict) and "type" in child else set()


def _lookup(path: tuple[str, ...], context: Mapping[str, Any]) -> Any:
    value: Any = context
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _found(path: str, context: Mapping[str, Any]) -> Any:
    value: Any = context
    for part in _joined(segments(path) or [path], context.get("steps")):
        if isinstance(part, str):
            value = value.get(part) if isinstance(value, Mapping) else None
        else:
            within = isinstance(value, (list, tuple)) and part < len(value)
            value = value[part] if within else None
        if value is None:
            raise MissingValue(path)
    return value


def _joined(parts: list[str | int], steps: Any) -> list[str | int]:
    """The path with a step's id as one name, which may have dots: ``steps.ec2.snapshot.set``."""
    if parts[0] == "steps" and isinstance(steps, Mapping):
        for end in range(2, len(parts) + 1):
            name = ".".join(map(str, parts[1:end]))
            if name in steps:
                return [parts[0], name, *parts[end:]]
    return parts


def _as_text(match: re.Match[str], context: Mapping[str, Any]) -> str:
    if match[1] is None:
        return "$"
    value = _found(match[1], context)
    if isinstance(value, (Mapping, list, tuple)):
        raise InvalidInput(f"${{{match[1]}}} is a list or a mapping and can't stand within text.")
    return str(value).lower() if isinstance(value, bool) else str(value)
