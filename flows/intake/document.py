"""Bytes to JSON, strictly, and JSON to typed values that know where in the document they stand."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO

from flows.intake.finding import FindingRejected, for_display

MAX_DOCUMENT = 32 * 1024 * 1024
"""Bytes of a whole document, after decompression: an export of some ten thousand findings."""
MAX_DEPTH = 64
MAX_ITEMS = 10_000
"""Findings in one document: lines of an export, elements of a list."""

_SAFE_INTEGER = 2**53 - 1


@dataclass(frozen=True)
class Node:
    """A value in a document.

    ``path`` is its place, for errors. ``pascal`` says that keys are spelled as SDKs write them
    (``AccountId``) and not as on the wire (``accountId``): always the same name, but for the case
    of its first letter. Names are asked for as on the wire. JSON's null is the same as absence,
    because real findings have nulls almost anywhere.
    """

    value: object
    path: str = ""
    pascal: bool = False

    def at(self, *names: str) -> Node:
        """The value under these names, one within the other; None's node where one is absent.

        Raises FindingRejected where something on the way is not an object.
        """
        node = self
        for name in names:
            key = name[:1].upper() + name[1:] if node.pascal else name
            members = node.members()
            path = f"{node.path}.{key}" if node.path else key
            node = replace(node, value=members.get(key), path=path)
        return node

    def members(self) -> dict[str, object]:
        """The members of an object; none where it is absent."""
        if self.value is None:
            return {}
        if isinstance(self.value, dict):
            return self.value
        raise self.rejected(f"must be an object, not {_called(self.value)}")

    def each(self) -> list[Node]:
        """The elements of a list; none where it is absent."""
        if self.value is None:
            return []
        if isinstance(self.value, list):
            if len(self.value) > MAX_ITEMS:
                raise self.rejected(f"has more than {MAX_ITEMS} elements")
            return [
                replace(self, value=value, path=f"{self.path}[{index}]")
                for index, value in enumerate(self.value)
            ]
        raise self.rejected(f"must be a list, not {_called(self.value)}")

    def text(self) -> str | None:
        """A string, exactly as it is; None where it is absent."""
        if self.value is None or isinstance(self.value, str):
            return self.value
        raise self.rejected(f"must be text, not {_called(self.value)}")

    def some_text(self) -> str | None:
        """A string that isn't blank, exactly as it is; None where it is absent or blank."""
        text = self.text()
        return text if text and text.strip() else None

    def required_text(self, what: str) -> str:
        """A string that isn't blank. ``what`` is what the finding lacks without it."""
        text = self.some_text()
        if text is None:
            raise self.rejected(f"there is no {what}")
        return text

    def number(self) -> float | None:
        """A finite number, also when it is written as text (``"8.0"``)."""
        if self.value is None:
            return None
        number: float | None = None
        if isinstance(self.value, int | float) and not isinstance(self.value, bool):
            number = float(self.value)
        elif isinstance(self.value, str):
            try:
                number = float(self.value) if self.value.isascii() else None
            except ValueError:
                number = None
        if number is None:
            raise self.rejected(f"must be a number, not {shown(self.value)}")
        if not math.isfinite(number):
            raise self.rejected(f"must be a finite number, not {shown(self.value)}")
        return number

    def flag(self) -> bool:
        """True or false, also when it is written as text; false where it is absent."""
        if self.value is None or self.value == "":
            return False
        if isinstance(self.value, bool):
            return self.value
        if isinstance(self.value, str) and self.value.lower() in ("true", "false"):
            return self.value.lower() == "true"
        raise self.rejected(f"must be true or false, not {shown(self.value)}")

    def rejected(self, reason: str) -> FindingRejected:
        return FindingRejected(reason, self.path)


ABSENT = Node(None)
"""What isn't in the document."""


def read_documents(document: bytes) -> list[Node | FindingRejected]:
    """The JSON values of a document: one, or one per line.

    The document may be compressed with gzip (exports to S3 are), and in UTF-8, UTF-16 or UTF-32
    with or without a byte order mark. A line that can't be read is a FindingRejected in its place.

    Raises FindingRejected where the whole can't be read.
    """
    text = _decoded(_decompressed(document))
    if not text.strip():
        raise FindingRejected("the document is empty")
    lines = [(n, line) for n, line in enumerate(text.split("\n"), start=1) if line.strip()]
    # Every line of an export is an object of its own; in a document written over several lines,
    # the second never begins with a brace.
    if len(lines) == 1 or not all(line.lstrip().startswith("{") for _, line in lines):
        return [read_json(text)]
    if len(lines) > MAX_ITEMS:
        raise FindingRejected(f"has more than {MAX_ITEMS} lines; split it")
    return list(_lines(lines))


def read_json(text: str, path: str = "") -> Node:
    """One JSON value, strictly: RFC 8259, no duplicate keys, no NaN, bounded depth.

    Integers beyond 2**53 become floats, as in RFC 8785.

    Raises FindingRejected.
    """
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_int=_integer,
            parse_float=_float,
        )
    except RecursionError:
        raise FindingRejected(f"is nested more than {MAX_DEPTH} levels deep", path) from None
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
            raise FindingRejected("is truncated: the JSON ends in the middle", path) from None
        raise FindingRejected(
            f"is not JSON: {error.msg} (line {error.lineno}, column {error.colno})", path
        ) from None
    except _NotJson as error:
        raise FindingRejected(f"is not JSON that can be trusted: {error}", path) from None
    _check(value, path)
    return Node(value, path)


def shown(value: object) -> str:
    """A value of the document, quoted and shortened, for an error message."""
    if not isinstance(value, str | int | float):
        return _called(value)
    text = for_display(str(value))
    text = text if len(text) <= 80 else text[:79] + "…"
    return f'"{text}"' if isinstance(value, str) else text


class _NotJson(ValueError):
    """Python's parser takes it, the standard or prudence doesn't."""


def _lines(lines: list[tuple[int, str]]) -> Iterator[Node | FindingRejected]:
    for number, line in lines:
        try:
            yield read_json(line, f"line {number}")
        except FindingRejected as rejected:
            yield rejected


def _decompressed(document: bytes) -> bytes:
    if document[:2] == b"\x1f\x8b":
        try:
            with gzip.GzipFile(fileobj=BytesIO(document)) as file:
                document = file.read(MAX_DOCUMENT + 1)
        except (OSError, EOFError, zlib.error):
            raise FindingRejected("is truncated or broken gzip") from None
    if len(document) > MAX_DOCUMENT:
        raise FindingRejected(f"is larger than {MAX_DOCUMENT} bytes")
    return document


def _decoded(document: bytes) -> str:
    encoding = json.detect_encoding(document)
    try:
        return document.decode(encoding)
    except UnicodeDecodeError as error:
        raise FindingRejected(
            f"is not text in {encoding.upper().removesuffix('-SIG')} (byte {error.start})"
        ) from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                # Two readers of one document could see two different findings.
                raise _NotJson(f"the key {shown(key)} is there twice")
            seen.add(key)
    return members


def _constant(name: str) -> object:
    raise _NotJson(f"{name} is not a JSON number")


def _integer(digits: str) -> int | float:
    if len(digits) <= 16 and abs(int(digits)) <= _SAFE_INTEGER:
        return int(digits)
    return _float(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _NotJson("a number is too large")
    return number


def _check(value: object, path: str) -> None:
    """Bounded depth, and text that can be written down again (no lone surrogates)."""
    waiting = [(value, path, 1)]
    while waiting:
        value, path, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise FindingRejected(f"is nested more than {MAX_DEPTH} levels deep", path[:200])
        if isinstance(value, dict):
            for key, member in value.items():
                _check_text(key, path)
                place = key[:80]  # a path is for reading, and keys can be long
                waiting.append((member, f"{path}.{place}" if path else place, depth + 1))
        elif isinstance(value, list):
            waiting.extend((item, f"{path}[{n}]", depth + 1) for n, item in enumerate(value))
        elif isinstance(value, str):
            _check_text(value, path)


def _check_text(text: str, path: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        raise FindingRejected("is not valid Unicode (half of a surrogate pair)", path) from None


def _called(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return "text"
    return "nothing" if value is None else "a number"
