"""A record, its canonical form and its hash."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

import rfc8785

from flows.journal.errors import SecretInRecord

GENESIS = "0" * 64
_SURROGATE = re.compile("[\ud800-\udfff]")
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
_WRITTEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
# The last seat belt: whoever writes a record has left secrets out of it already.
_SECRET_KEYS = frozenset(
    {
        "secretaccesskey",
        "sessiontoken",
        "masteruserpassword",
        "password",
        "secretstring",
        "privatekey",
        "secretbinary",
    }
)


@dataclass(frozen=True)
class Actor:
    """Who did it. ``via`` is the way it came: cli, slack, executor, sqs…"""

    kind: Literal["person", "service", "schedule", "system"]
    id: str
    via: str


@dataclass(frozen=True)
class Record:
    """One record of an incident's chain.

    ``seq`` counts from 1 without gaps, ``at`` is aware UTC with microseconds, ``body`` is plain
    JSON. ``hash`` is the SHA-256, in hex, of the canonical JSON of everything else, ``prev_hash``
    that of the record before (64 zeros before the first).
    """

    incident: str
    seq: int
    at: datetime
    kind: str
    actor: Actor
    body: Mapping[str, Any]
    prev_hash: str
    hash: str


def canonical(body: Any) -> bytes:
    """RFC 8785 canonical JSON.

    Raises TypeError for what is not JSON (keys that are no strings, NaN, integers beyond 2^53).
    """
    try:
        return rfc8785.dumps(body)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise TypeError(f"a record holds plain JSON only: {error}") from error


def time_text(at: datetime) -> str:
    """RFC 3339 in UTC with exactly six fractional digits."""
    return at.astimezone(UTC).strftime(_TIME)


def time_from(text: str) -> datetime:
    """What :func:`time_text` wrote. Raises ValueError for anything that ``strptime`` refuses."""
    if _WRITTEN.fullmatch(text):
        # A tenth of what strptime takes, which is most of what reading a record does.
        return datetime.fromisoformat(text)
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)


def record_hash(
    incident: str, seq: int, at: str, kind: str, actor: Actor, body: bytes, prev_hash: str
) -> str:
    """The hash of a record whose body is given in canonical form.

    The keys below stand in the order of RFC 8785, so that the canonical body can be put in as it
    is, without being parsed again.
    """
    before = f'{{"actor":{_actor_text(actor)},"at":{_quoted(at)},"body":'
    after = (
        f',"incident":{_quoted(incident)},"kind":{_quoted(kind)}'
        f',"prev_hash":{_quoted(prev_hash)},"seq":{seq}}}'
    )
    return hashlib.sha256(before.encode() + body + after.encode()).hexdigest()


# JSON's own way to write a string is RFC 8785's, as long as nothing is escaped needlessly.
_quoted = json.encoder.encode_basestring


@lru_cache(maxsize=1024)
def _actor_text(actor: Actor) -> str:
    return f'{{"id":{_quoted(actor.id)},"kind":{_quoted(actor.kind)},"via":{_quoted(actor.via)}}}'


def refuse_unstorable(*texts: str) -> None:
    """Raise TypeError for text that not every database can hold: NUL, and halves of surrogates."""
    for text in texts:
        if "\0" in text or (not text.isascii() and _SURROGATE.search(text)):
            raise TypeError(f"a record can't hold the text {text!r}")


def refuse_secrets(body: Any) -> None:
    """Raise SecretInRecord where a key names a secret that holds something."""
    left: list[tuple[str, Any]] = [("body", body)]
    while left:
        path, value = left.pop()
        if isinstance(value, Mapping):
            for key, item in value.items():
                name = str(key).replace("_", "").replace("-", "").lower()
                if name in _SECRET_KEYS and item:
                    raise SecretInRecord(
                        f"A record would have held a secret at {path}.{key}; it was not written."
                    )
                left.append((f"{path}.{key}", item))
        elif isinstance(value, (list, tuple)):
            left.extend((f"{path}[{index}]", item) for index, item in enumerate(value))
