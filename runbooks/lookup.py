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


def holds(expression: str, context: Mapping[str, Any]) -> bool:
    """Whether a step's JMESPath condition is true."""
    return _truth(_compiled(expression).search(context))


def stands(expression: str, context: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a gate with this condition stands, and why.

    It fails closed: where something that the condition reads is not there, the gate stands.
    """
    compiled = _compiled(expression)
    for path in sorted(_fields(compiled.parsed)):
        if _lookup(path, context) is None:
            return True, f"{'.'.join(path)} is not set, so the gate stands"
    if _truth(compiled.search(context)):
        return True, expression
    return False, f"not {expression}"


def expression_fault(expression: str) -> tuple[str, int] | None:
    """What is wrong with a condition, and at which offset; None where nothing is."""
    import jmespath

    if len(expression) > MAX_EXPRESSION:
        return f"a condition has at most {MAX_EXPRESSION} characters", 0
    try:
        parsed = jmespath.compile(expression).parsed
    except jmespath.exceptions.JMESPathError as error:
        return str(error).splitlines()[0], getattr(error, "lex_position", 0) or 0
    for path in sorted(_fields(parsed)):
        if path[0] not in ROOTS:
            return f"there is no {path[0]!r} to look into; there is {', '.join(ROOTS)}", 0
    return None


def _compiled(expression: str) -> Any:
    import jmespath

    if fault := expression_fault(expression):
        raise InvalidInput(f"The condition {expression!r} can't be read: {fault[0]}.")
    return jmespath.compile(expression)


def _truth(value: Any) -> bool:
    """JMESPath's truth: false, null, and everything empty are false; zero is true."""
    return not (value is None or value is False or value in ("", [], {}))


def _fields(node: Any) -> set[tuple[str, ...]]:
    """The paths that an expression reads, as far as they start at the root."""
    if node["type"] == "field":
        return {(node["value"],)}
    if node["type"] in {"subexpression", "index_expression"}:
        path: list[str] = []
        for child in node["children"]:
            if child["type"] != "field":
                break
            path.append(child["value"])
        return {tuple(path)} if path else _fields(node["children"][0])
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
    for part in segments(path) or [path]:
        if isinstance(part, str):
            value = value.get(part) if isinstance(value, Mapping) else None
        else:
            within = isinstance(value, (list, tuple)) and part < len(value)
            value = value[part] if within else None
        if value is None:
            raise MissingValue(path)
    return value


def _as_text(match: re.Match[str], context: Mapping[str, Any]) -> str:
    if match[1] is None:
        return "$"
    value = _found(match[1], context)
    if isinstance(value, (Mapping, list, tuple)):
        raise InvalidInput(f"${{{match[1]}}} is a list or a mapping and can't stand within text.")
    return str(value).lower() if isinstance(value, bool) else str(value)
