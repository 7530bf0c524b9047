"""What is wrong with a YAML file, in words: every problem with its place, and what was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from runbooks.errors import InvalidInput
from runbooks.yaml_source import Fault, Position, Source, Where, read_file

# Comparing names takes time: a file full of nonsense is answered in less than a second all the same.
_MAX_SUGGESTIONS = 100
_MAX_CHOICES = 200
_MAX_MESSAGE = 400


@dataclass(frozen=True, order=True)
class Problem:
    """An error at a place of a file."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"

    def to_json(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "message": self.message,
        }


class InvalidFile(InvalidInput):
    """A file is wrong; ``problems`` has every error in it. ``what_it_is`` begins the sentence."""

    what_it_is: ClassVar[str] = "The file"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        lines = "\n".join(str(problem) for problem in self.problems)
        super().__init__(f"{self.what_it_is} can't be used; nothing was done.\n{lines}")


class ProblemsOf:
    """Collects the problems of one file, beginning with what is wrong as YAML."""

    def __init__(self, source: Source, name: str) -> None:
        self.source = source
        self.name = name
        self.problems: list[Problem] = []
        self._faults: dict[int, list[Fault]] = {}
        for fault in source.faults:
            at = fault.position
            self._faults.setdefault(at.line, []).append(fault)
            self.problems.append(Problem(name, at.line, at.column, fault.message))
        self._suggestions = 0

    def add(self, path: Where, message: str) -> None:
        """A problem at a key, or at what would contain it."""
        self._report(self.source.position(path), message)

    def at_value(self, path: Where, message: str, *, offset: int = 0) -> None:
        """A problem at a value, ``offset`` characters into it."""
        at = self.source.values.get(path) or self.source.position(path)
        self._report(Position(at.line, at.column + offset), message)

    def suggest(self, name: str, known: Iterable[str]) -> str:
        """``; did you mean …?``, or what there is where it is little; empty where nothing helps."""
        choices = [str(item) for item in known]
        if len(choices) > _MAX_CHOICES or self._suggestions >= _MAX_SUGGESTIONS or len(name) > 80:
            return ""
        self._suggestions += 1
        close = difflib.get_close_matches(name, choices, 1)
        if close:
            return f"; did you mean {close[0]!r}?"
        return f"; there is {', '.join(sorted(choices))}" if 0 < len(choices) <= 12 else ""

    def unknown_key(self, name: str, known: Iterable[str]) -> str:
        """What is said of a key that there isn't, where there are the ``known`` ones."""
        keys = [key for key in known if key != name]
        meant = self.suggest(name, keys) or f"; there is {', '.join(keys)}"
        return f"unknown key {name!r}{meant}"

    def _report(self, at: Position, message: str) -> None:
        # What is wrong as YAML has no value that could be wrong as well.
        if any(fault.position == at for fault in self._faults.get(at.line, ())):
            return
        if len(message) > _MAX_MESSAGE:
            message = f"{message[: _MAX_MESSAGE - 1]}…"
        self.problems.append(Problem(self.name, at.line, at.column, message))


def bytes_of(path: Path, advice: str) -> bytes | Problem:
    """The bytes of a file, or why it can't be read, with what to do about it."""
    try:
        return read_file(path)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
        return Problem(str(path), 1, 1, f"can't be read: {reason}; {advice}")


def is_misspelt(name: str, unknown: Iterable[str]) -> bool:
    """Whether what is missing is there under a name that is unknown, which is said already."""
    return any(difflib.get_close_matches(name, [key[:80]], 1) for key in list(unknown)[:20])


def value_at(data: Any, path: Iterable[Any]) -> Any:
    """The value at a path of plain data; None where there is none."""
    node = data
    for part in path:
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            return None
    return node


def texts_in(path: Where, value: Any) -> Iterator[tuple[Where, str]]:
    """Every text in a value, with where it stands."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from texts_in((*path, key), item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from texts_in((*path, index), item)


def real_path(loc: tuple[Any, ...], data: Any) -> Where:
    """The path of pydantic's ``loc`` in the file: what it adds for unions and keys is left out."""
    path: Where = ()
    node = data
    for part in loc:
        if (isinstance(node, dict) and part in node) or (
            isinstance(node, list) and isinstance(part, int) and part < len(node)
        ):
            path, node = (*path, part), node[part]
    return path


_KINDS = {
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
}


def sentence(item: Any, path: Where) -> str:
    """What pydantic says about a value, in words that say what it must be instead."""
    name = _name(path)
    kind, context = item["type"], item.get("ctx", {})
    shown = "nothing" if item["input"] is None else repr(item["input"])[:80]
    if kind in _KINDS:
        return f"{name!r} {_KINDS[kind]}, not {shown}"
    if kind in {"literal_error", "enum"}:
        given = item["input"] if isinstance(item["input"], str) else shown
        allowed = str(context.get("expected", "")).replace(" or ", ", ").replace("'", "")
        return f"{name!r} can't be {given}; it is one of: {allowed}"
    if kind in {"value_error", "assertion_error"}:
        reason = str(context.get("error", item["msg"]))
        return f"{name!r} {reason}" if reason.startswith("must ") else f"{name!r}: {reason}"
    if kind == "string_pattern_mismatch":
        return f"{name!r} is not valid: {shown}{_expected(name)}"
    if kind in {"too_short", "string_too_short"}:
        return f"{name!r} is empty"
    if kind in {"too_long", "string_too_long"}:
        return f"{name!r} is too long; at most {context.get('max_length')} are allowed"
    if kind in {"greater_than_equal", "greater_than"}:
        return f"{name!r} must be at least {context.get('ge', context.get('gt'))}, not {shown}"
    if kind in {"less_than_equal", "less_than"}:
        return f"{name!r} must be at most {context.get('le', context.get('lt'))}, not {shown}"
    return f"{name!r} is not valid: {shown}"


def _name(path: Where) -> str:
    """What the value is called: an item of a list by the list's name and its index."""
    if not path:
        return "the file"
    if isinstance(path[-1], int) and len(path) > 1:
        return f"{path[-2]}[{path[-1]}]"
    return str(path[-1])


def _expected(name: str) -> str:
    hints = {
        "role": "; it is an IAM role's ARN, such as arn:aws:iam::111122223333:role/clampdown",
        "arn": "; it is an ARN or a glob of one",
        "id": "; letters, digits, dots, dashes and underscores, beginning with a letter",
    }
    if name.startswith("regions["):
        return "; it is a Region such as eu-west-1"
    if name.startswith("techniques["):
        return "; it is a technique of MITRE ATT&CK, such as T1496.001"
    return hints.get(name, "")


def mapping_of(value: Any) -> dict[str, Any]:
    """The value where it is a mapping; else an empty one."""
    return value if isinstance(value, dict) else {}


def list_of(value: Any) -> list[Any]:
    """The value where it is a list; else an empty one."""
    return value if isinstance(value, list) else []
