"""What differs in a world, by what it means for people: ``web-1 left the target group shop``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

_MEMBER = re.compile(r"(?P<group>.+)\.members\.(?P<instance>i-[0-9a-f]+)")
# What people ask first: does it still talk, does it still serve, what may it still do?
_ORDER = (
    "interfaces",
    "targets",
    "classic",
    "scaling",
    "profiles",
    "iam",
    "instances",
    "groups",
    "acls",
    "snapshots",
    "stacks",
    "tags",
)
_WAYS = {"True": "out", "False": "in"}
_SIZES = ("least", "most", "wanted")
_LIFE = {
    "disableApiTermination": "protected against being terminated",
    "disableApiStop": "protected against being stopped",
}


def in_words(changes: Iterable[Mapping[str, Any]], names: Mapping[str, str]) -> list[str]:
    """Sentences for the changes of a ``drill.difference`` record, those that count most first.

    ``names`` maps what the world calls things to their ids, as ``drill.began`` has it.
    """
    return list(_Telling(list(changes), names).sentences())


class _Telling:
    def __init__(self, changes: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> None:
        self.changes = sorted(changes, key=_place)
        self.names = {identity: key.partition("/")[2] or key for key, identity in names.items()}
        self.own = {
            change["path"].partition(".")[2]
            for change in changes
            if change["path"].startswith("groups.") and change["before"] is None
        }

    def sentences(self) -> Iterator[str]:
        tagged: Counter[str] = Counter()
        for change in self.changes:
            kind, _, rest = str(change["path"]).partition(".")
            before, after = change["before"], change["after"]
            if kind == "tags":
                identity = rest.partition(".")[0]
                # That what is new has tags of its own says nothing.
                if identity in self.names:
                    tagged[identity] += 1
                continue
            known = self._told(kind, rest, before, after)
            yield from known or [f"{change['path']}: {_short(before)} became {_short(after)}"]
        for identity, count in tagged.items():
            yield f"{self._called(identity)}: {_number(count, 'tag')} changed"

    def _told(self, kind: str, rest: str, before: Any, after: Any) -> list[str]:
        """Its sentences; none where it is nothing that there are words for."""
        tell = getattr(self, f"_{kind}", None)
        try:
            return list(tell(rest, before, after)) if tell else []
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            # The state of a live account, or of another version, has another shape.
            return []

    def _called(self, identity: str) -> str:
        """Its name in the world, with its id."""
        name = self.names.get(identity)
        if name is None or name == identity:
            return identity
        owner, _, number = name.rpartition("/")
        if identity.startswith("eni-") and owner:
            place = "its first interface" if number == "0" else f"interface {number}"
            return f"{owner} ({place}, {identity})"
        return f"{name} ({identity})"

    def _group(self, identity: str) -> str:
        if identity in self.own:
            return f"the new group {identity}"
        return self.names.get(identity, identity)

    # Each kind of path

    def _instances(self, rest: str, before: Any, after: Any) -> Iterator[str]:
        identity, _, part = rest.partition(".")
        who = self._called(identity)
        if not part:
            yield f"{who} is {'new' if before is None else 'gone'}"
        elif part == "state":
            yield f"{who} was {before}, and is {after}"
        elif part in _LIFE:
            yield f"{who} is {'now' if after else 'no longer'} {_LIFE[part]}"
        elif part == "instanceInitiatedShutdownBehavior":
            yield f"{who}: a shutdown from within now means {after}, and not {before}"
        elif part == "metadata":
            yield f"{who}: its metadata service is {after}"
        elif part.startswith("volumes."):
            device = part.removeprefix("volumes.")
            kept = "goes" if after else "stays"
            if before is None or after is None:
                kept = "is new" if before is None else "is gone"
            yield f"{who}: its volume {device} {kept} when the instance is terminated"

    def _interfaces(self, rest: str, before: Any, after: Any) -> Iterator[str]:
        identity, _, part = rest.partition(".")
        who = self._called(identity)
        if not part:
            yield f"the network interface {who} is {'new' if before is None else 'gone'}"
        elif part == "groups":
            was, now = (", ".join(self._group(item) for item in each) for each in (before, after))
            yield f"{who} moved from {was} to {now}"
        elif part == "delete":
            yield f"{who} {'goes' if after else 'stays'} when the instance is terminated"
        elif part == "public":
            yield f"{who}: its public address was {before or 'none'}, and is {after or 'none'}"

    def _groups(self, rest: str, before: Any, after: Any) -> Iterator[str]:
        if before is None:
            yield f"the security group {rest} is new, with {_number(len(after), 'rule')}"
        elif after is None:
            yield f"the security group {self._called(rest)} is gone"
        else:
            yield from self._lists("security group", rest, before, after, "rule")

    def _acls(self, rest: str, before: Any, after: Any) -> Iterator[str]:
        if before is None or after is None:
            yield f"the network ACL {self._called(rest)} is {'new' if before is None else 'gone'}"
        else:
            yield from self._lists("network ACL", rest, before, after, "entry")

    def _lists(self, kind: str, name: str, before: Any, after: Any, what: str) -> Iterator[str]:
        gained = [item for item in after if item not in before]
        lost = [item for item in before if item not in after]
        for items, word in ((gained, "gained"), (lost, "lost")):
            if items:
                text = "; ".join(_rule(str(item)) for item in items[:5])
                yield f"the {kind} {self._called(name)} {word} {_number(len(items), what)}: {text}"

    def _profiles(self, rest: str, before: Any, after: Any) -> Iterator[str]:
        was, now = (str(each).rpartition("/")[2] if each else "none" for each in (before, after))
        yield f"{self._called(rest)}: its instance profile was {was}, and is {now}"

    def _scaling(self, rest: str, before: Any, after: Any) -> Iterator[str]:
        if match := _MEMBER.fullmatch(rest):
            who, group = self._called(match["instance"]), match["group"]
            if after is None:
                yield f"{who} left the Auto Scaling group {group}"
            elif before is None:
                yield f"{who} joined the Auto Scaling group {group}"
            elif before[0] != after[0]:
                yield f"{who} was {before[0]}, and is {after[0]} in the Auto Scaling group {group}"
            else:
                kept = "now" if after[1] else "no longer"
                yield f"{who} is {kept} protected from scale-in in {group}"
            return
        group, _, part = rest.rpartition(".")
        if part == "sizes" and before and after:
            for word, was, now in zip(_SIZES, before, after, strict=True):
                if was != now:
                    yield f"the Auto Scaling group {group}: {word} was {was}, and is {now}"
        elif part == "suspended":
            yield from self._processes(group, before or [], after or [])
        elif before is None or after is None:
            yield f"the Auto Scaling group {rest} is {'new' if before is None else 'gone'}"

    def _processes(self, group: str, before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
        for word, items in (
            ("suspended", set(after) - set(before)),
            ("resumed", set(before) - set(after)),
        ):
            if items:
                yield f"the Auto Scaling group {group} has {word} {', '.join(sorted(items))}"

    def _targets(self, rest: str, before: Any, after: Any) -> Iterator[str]:
        yield from self._members("target group", rest, before or [], after or [])

    def _classic(self, rest: str, before: Any, after: Any) -> Iterator[str]:
        yield from self._members("Classic Load Balancer", rest, before or [], after or [])

    def _members(
        self, kind: str, name: str, before: Sequence[Any], after: Sequence[Any]
    ) -> Iterator[str]:
        for word, here, there in (("left", before, after), ("joined", after, before)):
            for item in here:
                if item not in there:
                    identity, port = item if isinstance(item, list | tuple) else (item, None)
                    at = f" (port {port})" if port is not None else ""
                    yield f"{self._called(identity)} {word} the {kind} {name}{at}"

    def _iam(self, rest: str, before: Any, after: Any) -> Iterator[str]:
        kind, _, name = rest.partition(".")
        what = "role" if kind == "roles" else "instance profile"
        if before is None or after is None:
            yield f"the {what} {name} is {'new' if before is None else 'gone'}"
            return
        inner = "inline policy" if kind == "roles" else "role"
        for word, items in (
            ("gained", [item for item in after if item not in before]),
            ("lost", [item for item in before if item not in after]),
        ):
            if items:
                yield f"the {what} {name} {word} the {inner} {', '.join(items)}"

    def _snapshots(self, rest: str, before: Any, after: Any) -> Iterator[str]:
        yield from self._made("snapshot", before or [], after or [])

    def _stacks(self, rest: str, before: Any, after: Any) -> Iterator[str]:
        yield from self._made("CloudFormation stack", before or [], after or [])

    def _made(self, what: str, before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
        for word, items in (
            ("new", [item for item in after if item not in before]),
            ("gone", [item for item in before if item not in after]),
        ):
            if items:
                yield f"{_number(len(items), what)} {word}: {', '.join(items)}"


def _rule(text: str) -> str:
    """A rule of a group or of a network ACL as a state has it, in words."""
    words = text.split(" ")
    if len(words) == 5 and words[1] in _WAYS:
        number, egress, action, *networks = words
        network = next((item for item in networks if item != "None"), "")
        return f"{action} {network} {_WAYS[egress]} (rule {number})"
    if words[0] in _WAYS and len(words) >= 4:
        protocol = "everything" if words[1] == "-1" else words[1]
        port = "" if words[2] in ("None", "-1") else f" {words[2]}"
        way = "to" if words[0] == "True" else "from"
        return f"{protocol}{port} {way} {' '.join(words[3:])}"
    return text


def _place(change: Mapping[str, Any]) -> int:
    kind = str(change["path"]).partition(".")[0]
    return _ORDER.index(kind) if kind in _ORDER else len(_ORDER)


def _number(count: int, what: str) -> str:
    if count == 1:
        return f"1 {what}"
    return f"{count} {what[:-1]}ies" if what.endswith("y") else f"{count} {what}s"


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 200 else f"{text[:199]}…"
