"""YAML is read strictly: what is read means what it looks like, and a bomb does not go off."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.yaml_source import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_NODES,
    Limits,
    Source,
    parse,
    read_file,
)


def faults(document: str | bytes) -> list[str]:
    source = parse(document if isinstance(document, bytes) else document.encode())
    return [f"{f.position.line}:{f.position.column}: {f.message}" for f in source.faults]


def data(document: str) -> Any:
    source = parse(document.encode())
    assert source.faults == []
    assert source.complete
    return source.data


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("off", "off"),
        ("on", "on"),
        ("yes", "yes"),
        ("22:22", "22:22"),
        ("2026-01-02", "2026-01-02"),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("7", 7),
        ("-7", -7),
        ("0", 0),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("'7'", "7"),
        ('"0123"', "0123"),
        ("'true'", "true"),
        ("|\n  two\n  lines", "two\nlines\n"),
        ("[]", []),
        ("{}", {}),
        ("é🔒", "é🔒"),
    ],
)
def test_a_value_is_what_it_looks_like(text: str, value: Any) -> None:
    found = data(f"key: {text}\n")["key"]
    assert found == value
    assert type(found) is type(value)


def test_every_value_and_key_has_its_place() -> None:
    source = parse(b"a:\n  b: [1, {c: 'x'}]\n")
    assert source.data == {"a": {"b": [1, {"c": "x"}]}}
    where = {
        ("a",): (1, 1),
        ("a", "b"): (2, 3),
        ("a", "b", 0): (2, 7),
        ("a", "b", 1, "c"): (2, 11),
        ("a", "b", 1, "nope"): (2, 10),
        ("nope",): (1, 1),
    }
    for path, place in where.items():
        position = source.position(path)
        assert (position.line, position.column) == place
    assert source.values[("a", "b", 1, "c")].column == 14
    assert source.quoted == {("a", "b", 1, "c")}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("", "1:1: the file is empty"),
        ("# only\n# comments\n", "1:1: the file is empty"),
        ("---\n", "1:1: the file is empty"),
        ("a: 1\n---\nb: 2\n", "2:1: a second document (---); there may be only one"),
        ("a:\n\tb: 1\n", "2:1: a tab can't indent YAML; use spaces"),
        ("a: 1\nb: 2\na: 3\n", "3:1: the key 'a' stands here twice (first on line 1)"),
        ("a: {b: 1, b: 2}\n", "1:11: the key 'b' stands here twice (first on line 1)"),
        ("a: !!python/object/apply:os.system ['id']\n", "1:4: a tag (tag:yaml.org,2002:python"),
        ("a: !!int '7'\n", "1:4: a tag (tag:yaml.org,2002:int); nothing here needs one"),
        ("a: !env SECRET\n", "1:4: a tag (!env); nothing here needs one"),
        ("a: &x 1\n", "1:4: an anchor (&x); write it out where it is used"),
        ("a: *x\n", "1:4: an alias (*x); write it out"),
        ("*x : 1\n", "1:1: an alias (*x); write it out"),
        ("a: {<<: {b: 1}}\n", "1:5: a merge key (<<); write it out"),
        ("123456789012: 1\n", "1:1: the key 123456789012 is not a string; account ids are strings"),
        ("012345678901: 1\n", "1:1: the key 012345678901 is not a string; account ids are strings"),
        ("true: 1\n", "1:1: the key true is not a string; quote it"),
        ("~: 1\n", "1:1: the key ~ is not a string; quote it"),
        ("? [a, b]\n: 1\n", "1:3: a key must be a word, not a list or a mapping"),
        ("a: 012345670123\n", "1:4: 012345670123 would lose its leading zero; quote it"),
        ("a: .inf\n", "1:4: .inf is no number that can be used here"),
        ("a: -.INF\n", "1:4: -.INF is no number that can be used here"),
        ("a: .nan\n", "1:4: .nan is no number that can be used here"),
        ("a: 1e999\n", "1:4: 1e999 is no number that can be used here"),
        ("a: " + "9" * 5_000 + "\n", "1:4: a number of more than 18 digits; quote it"),
        ("a: x\x00y\n", "1:5: a control character (U+0000) has no place here"),
        ("a: x\x1b[31m\n", "1:5: a control character (U+001B) has no place here"),
        ("a: x\x9by\n", "1:5: a control character (U+009B) has no place here"),
        ("a: x\u2028y\n", "1:5: a control character (U+2028) has no place here"),
        ("a: x\u202ey\n", "1:5: a control character (U+202E) has no place here"),
        ("a: 1 # \u2066x\n", "1:8: a control character (U+2066) has no place here"),
        ("a: x\uffffy\n", "1:5: a control character (U+FFFF) has no place here"),
        ("a: \U0001f512\ufeff\n", "1:5: a control character (U+FEFF) has no place here"),
        ("a: [1\n", "2:1: this is not YAML:"),
        ("a: 'x\n", "2:1: this is not YAML:"),
        ("a: b: c\n", "1:5: this is not YAML:"),
        ("%YAML 9.9\n---\na: 1\n", "1:1: this is not YAML:"),
        (b"a: 1\nb: x\xff\n", "2:5: the file is not UTF-8 here"),
        (b"\xc0\x80: 1\n", "1:1: the file is not UTF-8 here"),
        ("a: 1\n".encode("utf-16"), "1:1: the file is UTF-16; it must be UTF-8"),
        ("a: 1\n".encode("utf-16-le"), "1:2: a control character (U+0000)"),
        ("a: " + "[" * (MAX_DEPTH + 1), "1:35: nested deeper than 32 levels"),
        ("a: " + "{a: " * 5_000, "1:128: nested deeper than 32 levels"),
        ("a: [" + "1," * MAX_NODES + "]", "more than 10000 values"),
        ("a: [" + "*x," * MAX_NODES + "]", "more than 10000 values"),
        ("a: " + "x" * MAX_BYTES, "1:1: the file is larger than 256 KiB"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_no_strict_yaml_is_said_with_its_place(
    document: str | bytes, expected: str
) -> None:
    found = faults(document)
    assert any(expected in fault for fault in found), found[:5]
    assert all("\n" not in fault for fault in found)


def test_a_byte_order_mark_is_no_fault() -> None:
    assert parse(b"\xef\xbb\xbfa: 1\n").data == {"a": 1}


def test_everything_that_is_wrong_is_said_at_once() -> None:
    assert faults("a: &x 1\na: 012\nb: !t *x\n123: .inf\nc: yes\n")[:3] == [
        "1:4: an anchor (&x); write it out where it is used",
        "2:1: the key 'a' stands here twice (first on line 1)",
        "2:4: 012 would lose its leading zero; quote it",
    ]


def test_what_follows_a_fault_is_still_read_rightly() -> None:
    source = parse(b"*x : 1\na: 1\na: 2\n? {z: 1}\n: [1, {q: 2}]\n<<: {b: 1}\nc: [x]\n")
    assert source.data == {"a": 1, "c": ["x"]}
    assert len(source.faults) == 4


BOMBS = {
    "merge keys": "a0: &a0 {x: 1}\n"
    + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}], y: 1}}\n" for n in range(1, 40)),
    "billion laughs": "a0: &a0 [x]\n"
    + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 40)),
    "itself": "a: &a [*a, *a]\n",
    "depth": "[" * 250_000,
    "mappings": "{a: " * 60_000,
    "block depth": "".join(f"{' ' * n}a:\n" for n in range(700)),
    "question marks": "? " * 100_000,
    "dashes": "- " * 100_000,
    "quotes": "'" * 250_001,
    "digits": f"a: {'9' * 250_000}\n",
    "point digits": f"a: 0.{'9' * 250_000}\n",
    "long key": f"{'k' * 250_000}: 1\n",
    "colons": ": " * 100_000,
    "hashes": "#" * 250_000,
    "anchors": "&a " * 80_000,
    "control characters": "\x01\n" * 100_000,
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_does_not_go_off(bomb: str) -> None:
    begun = time.process_time()
    source = parse(BOMBS[bomb].encode())
    # What goes off takes minutes, or all memory.
    assert time.process_time() - begun < 10
    assert source.faults or bomb in {"long key", "point digits"}


@given(
    st.binary(max_size=300)
    | st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace"))
)
def test_any_bytes_are_read_or_at_fault(document: bytes) -> None:
    source = parse(document)
    assert isinstance(source, Source)
    assert source.faults or source.complete


@given(st.text(st.sampled_from("ab01:-?[]{},&*!|>'\"%@` \n#.~<eE+\t"), max_size=120))
def test_any_text_of_yamls_own_characters_is_read_or_at_fault(text: str) -> None:
    source = parse(text.encode())
    assert source.faults or source.complete
    for place in [*source.values.values(), *source.keys.values()]:
        assert 1 <= place.line <= text.count("\n") + 2


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(OSError, match="not a regular file"):
            read_file(path)
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "nope")


def test_a_huge_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(50 * 1024 * 1024)
    assert len(read_file(tmp_path / "huge")) == MAX_BYTES + 1
    (tmp_path / "link").symlink_to(tmp_path / "huge")
    assert len(read_file(tmp_path / "link")) == MAX_BYTES + 1


def test_larger_documents_are_read_where_their_limits_are_larger(tmp_path: Path) -> None:
    many = b"a: [" + b"1," * MAX_NODES + b"]"
    (tmp_path / "large").write_bytes(b"x" * (MAX_BYTES + 10))

    assert len(parse(many, Limits(nodes=MAX_NODES + 10)).data["a"]) == MAX_NODES
    assert parse(many).faults
    assert "more than 5 values" in parse(many, Limits(nodes=5)).faults[0].message
    assert "larger than 1 KiB" in parse(many, Limits(size=1024)).faults[0].message
    assert len(read_file(tmp_path / "large", Limits(size=MAX_BYTES + 5))) == MAX_BYTES + 6
