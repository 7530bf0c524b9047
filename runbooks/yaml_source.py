"""Strict YAML with positions: what is read means what it looks like, and every value has a place.

YAML 1.2's core types only (``no``, ``off``, ``22:22`` and dates stay text). No anchors, aliases,
merge keys, tags, duplicate keys or second documents; bounded in size, depth and number of nodes.
It is built on PyYAML's event stream and keeps its own stack, so that depth can't exhaust Python's.
"""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_NODES = 10_000
_MAX_DIGITS = 18


@dataclass(frozen=True)
class Limits:
    """How large a document may be: its size in bytes, and how many keys and values it has.

    Time and memory grow with both in proportion.
    """

    size: int = MAX_BYTES
    nodes: int = MAX_NODES


_USUAL = Limits()

Where = tuple[str | int, ...]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
# With those that turn text around: what is reviewed must be what is read (CVE-2021-42574).
_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]"
)
_CONSTANTS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True, order=True)
class Position:
    """A place in the file; line and column count from 1."""

    line: int = 1
    column: int = 1


@dataclass(frozen=True)
class Fault:
    """Something that is wrong at a place, in words."""

    position: Position
    message: str


@dataclass
class Source:
    """A document: its plain data, where each value and each key stands, and what is wrong with it.

    Positions are found by the path to a value: ``("playbooks", "x", "steps", 0)``. ``complete``
    says whether it was read to its end. ``quoted`` are the texts that begin after a quote.
    """

    data: Any = None
    values: dict[Where, Position] = field(default_factory=dict)
    keys: dict[Where, Position] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    quoted: set[Where] = field(default_factory=set)
    complete: bool = False

    def position(self, path: Where) -> Position:
        """Where a value stands, or, for one that isn't there, the nearest that contains it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.keys:
                return self.keys[path[:length]]
            if path[:length] in self.values:
                return self.values[path[:length]]
        return Position()


def read_file(path: Path, limits: Limits = _USUAL) -> bytes:
    """The bytes of a regular file, at most one more than allowed. Raises OSError.

    Devices, pipes and directories are refused before they are read: reading could never end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("it is not a regular file")
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return file.read(limits.size + 1)
    finally:
        os.close(descriptor)


def parse(document: bytes, limits: Limits = _USUAL) -> Source:
    """Read a document. Everything wrong with it is in ``faults``; nothing is raised."""
    source = Source()
    text = _text(document, source, limits)
    if text is None:
        return source
    builder = _Builder(source, limits)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if not builder.take(event):
                return source
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = Position(mark.line + 1, mark.column + 1) if mark else Position()
        what = (error.problem or error.context or "it can't be read").strip()
        source.faults.append(Fault(position, f"this is not YAML: {what}"))
    except yaml.YAMLError as error:
        words = " ".join(str(error).split())
        source.faults.append(Fault(Position(), f"this is not YAML: {words}"))
    except RecursionError:
        source.faults.append(Fault(Position(), "this is not YAML: it is nested too deeply"))
    else:
        source.complete = True
        if builder.documents == 0 or (source.data is None and not source.faults):
            source.faults.append(Fault(Position(), "the file is empty"))
    return source


def _text(document: bytes, source: Source, limits: Limits) -> str | None:
    if len(document) > limits.size:
        largest = f"{limits.size // 1024} KiB"
        source.faults.append(Fault(Position(), f"the file is larger than {largest}"))
        return None
    if document.startswith((b"\xff\xfe", b"\xfe\xff")):
        source.faults.append(Fault(Position(), "the file is UTF-16; it must be UTF-8"))
        return None
    try:
        text = document.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as error:
        line = document[: error.start].count(b"\n") + 1
        column = error.start - (document.rfind(b"\n", 0, error.start) + 1) + 1
        source.faults.append(Fault(Position(line, column), "the file is not UTF-8 here"))
        return None
    faults = list(_bad_characters(text))
    source.faults.extend(faults)
    return None if faults else text


def _bad_characters(text: str) -> Iterator[Fault]:
    for number, line in enumerate(text.split("\n"), start=1):
        if found := _CONTROL.search(line.rstrip("\r")):
            code = f"U+{ord(found[0]):04X}"
            where = Position(number, found.start() + 1)
            yield Fault(where, f"a control character ({code}) has no place here")
        indent = line[: len(line) - len(line.lstrip())]
        if "\t" in indent and line.strip() and not line.strip().startswith("#"):
            where = Position(number, indent.index("\t") + 1)
            yield Fault(where, "a tab can't indent YAML; use spaces")


@dataclass
class _Open:
    """A mapping or sequence that is being filled."""

    path: Where
    data: Any
    key: str | None = None
    expects_key: bool = True


class _Builder:
    """Builds plain data out of events, with a stack of its own."""

    def __init__(self, source: Source, limits: Limits) -> None:
        self.source = source
        self.limits = limits
        self.documents = 0
        self._stack: list[_Open] = []
        self._nodes = 0
        self._skipping = 0

    def take(self, event: Any) -> bool:
        """Take an event; False where nothing more can be read."""
        position = Position(event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                return self._fatal(position, "a second document (---); there may be only one")
        elif isinstance(event, yaml.AliasEvent):
            return self._alias(event, position)
        elif isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, position)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            return self._start(event, position)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            if self._skipping:
                self._skipping -= 1
            else:
                self._stack.pop()
        return True

    def _alias(self, event: Any, position: Position) -> bool:
        if self._skipping:
            return True
        if not self._count(position):
            return False
        self._fault(position, f"an alias (*{event.anchor}); write it out")
        top = self._stack[-1] if self._stack else None
        if top is not None and isinstance(top.data, dict) and top.expects_key:
            top.key, top.expects_key = None, False
        else:
            self._value(None, position)
        return True

    def _scalar(self, event: Any, position: Position) -> bool:
        if self._skipping:
            return True
        if not self._count(position):
            return False
        self._check_node(event, position)
        top = self._stack[-1] if self._stack else None
        if top is not None and isinstance(top.data, dict) and top.expects_key:
            self._key(top, event, position)
        else:
            value = self._plain(event.value, position) if event.implicit[0] else event.value
            path = self._value(value, position)
            if event.style in {"'", '"'}:
                self.source.quoted.add(path)
        return True

    def _start(self, event: Any, position: Position) -> bool:
        if self._skipping:
            self._skipping += 1
            return True
        if not self._count(position):
            return False
        if len(self._stack) >= MAX_DEPTH:
            return self._fatal(position, f"nested deeper than {MAX_DEPTH} levels")
        self._check_node(event, position)
        top = self._stack[-1] if self._stack else None
        if top is not None and isinstance(top.data, dict) and top.expects_key:
            self._fault(position, "a key must be a word, not a list or a mapping")
            self._skipping, top.key, top.expects_key = 1, None, False
            return True
        data: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        path = self._value(data, position)
        self._stack.append(_Open(path, data))
        return True

    def _key(self, top: _Open, event: Any, position: Position) -> None:
        top.expects_key = False
        key = event.value
        if event.implicit[0] and not isinstance(_resolved(key), str):
            hint = "account ids are strings: " if key.isdigit() else ""
            self._fault(position, f"the key {key[:80]} is not a string; {hint}quote it")
        elif key == "<<" and event.implicit[0]:
            self._fault(position, "a merge key (<<); write it out")
            top.key = None
            return
        if key in top.data:
            first = self.source.keys[(*top.path, key)]
            name = repr(key[:80])
            self._fault(position, f"the key {name} stands here twice (first on line {first.line})")
            top.key = None
            return
        top.key = key
        self.source.keys[(*top.path, key)] = position

    def _value(self, value: Any, position: Position) -> Where:
        """Put a value where it belongs; returns its path."""
        if not self._stack:
            self.source.data = value
            self.source.values[()] = position
            return ()
        top = self._stack[-1]
        if isinstance(top.data, list):
            path = (*top.path, len(top.data))
            top.data.append(value)
        else:
            top.expects_key = True
            path = (*top.path, top.key if top.key is not None else "<<")
            if top.key is not None:
                top.data[top.key] = value
        self.source.values.setdefault(path, position)
        return path

    def _plain(self, text: str, position: Position) -> Any:
        if _INT.fullmatch(text):
            if len(text.lstrip("+-")) > _MAX_DIGITS:
                self._fault(position, f"a number of more than {_MAX_DIGITS} digits; quote it")
                return None
            if text.lstrip("+-").startswith("0") and len(text.lstrip("+-")) > 1:
                self._fault(position, f"{text} would lose its leading zero; quote it")
                return None
        if _NOT_FINITE.fullmatch(text) or (
            _FLOAT.fullmatch(text) and not math.isfinite(float(text))
        ):
            self._fault(position, f"{text[:80]} is no number that can be used here")
            return None
        return _resolved(text)

    def _check_node(self, event: Any, position: Position) -> None:
        if event.anchor:
            self._fault(position, f"an anchor (&{event.anchor}); write it out where it is used")
        if event.tag and event.tag != "!":
            self._fault(position, f"a tag ({event.tag}); nothing here needs one")

    def _count(self, position: Position) -> bool:
        self._nodes += 1
        if self._nodes > self.limits.nodes:
            return self._fatal(position, f"more than {self.limits.nodes} values")
        return True

    def _fault(self, position: Position, message: str) -> None:
        self.source.faults.append(Fault(position, message))

    def _fatal(self, position: Position, message: str) -> bool:
        self._fault(position, message)
        return False


def _resolved(text: str) -> Any:
    """A plain scalar by YAML 1.2's core schema."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INT.fullmatch(text) and len(text) <= _MAX_DIGITS + 1:
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
