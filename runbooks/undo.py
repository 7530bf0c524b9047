"""Taking changes back: from what was recorded when they were made, in reverse order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jmespath

from runbooks.aws import Aws
from runbooks.calls import Call, Change, Found, Keep, Resource

_ABSENT = {"iam": ("NoSuchEntity",), "ec2": ("InvalidNetworkAclID.NotFound",)}


@dataclass(frozen=True)
class TakenBack:
    """One undoing call as it was made, and what it was made on."""

    call: Call
    on: Resource


def first_of_each(changes: Sequence[Change]) -> list[Change]:
    """The changes without repetitions of the same call.

    After a crash, or when an intruder reverted the containment, a step makes a call again; what
    it then found is not the state from before the incident. The first recorded one is.
    """
    first: dict[Call, Change] = {}
    for change in changes:
        first.setdefault(change.call, change)
    return list(first.values())


def take_back(aws: Aws, changes: Sequence[Change]) -> list[TakenBack]:
    """Undo the changes, the last first; each undoing call goes through the same door.

    Returns the calls that were made. Raises what :meth:`Aws.change` raises; what was undone by
    then is recorded, and running it again goes on.
    """
    made: list[TakenBack] = []
    for change in reversed(first_of_each(changes)):
        for undo in change.undos:
            for call in _resolved(aws, undo.call):
                aws.change(
                    call,
                    on=change.on,
                    undo=Keep("it is itself an undo"),
                    why=f"undo: {change.why}",
                    accept=undo.unless,
                )
                made.append(TakenBack(call, change.on))
    return made


def _resolved(aws: Aws, call: Call) -> Iterator[Call]:
    """The call with what it looks up put in; none where nothing is found."""
    lookups = [key for key, value in call.params.items() if isinstance(value, Found)]
    if not lookups:
        yield call
        return
    key = lookups[0]
    found: Found = call.params[key]
    answer = aws.read(found.by, absent=_codes_of_absence(found.by))
    values: Any = jmespath.search(found.path, answer)
    for value in values if isinstance(values, list) else [values]:
        if value is not None:
            params = {**call.params, key: value}
            yield from _resolved(aws, Call(call.service, call.operation, **params))


def _codes_of_absence(call: Call) -> tuple[str, ...]:
    """The error codes with which the service says that what is looked up does not exist."""
    return _ABSENT.get(call.service, ("ValidationError",))
