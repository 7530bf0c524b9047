"""Dead letters: documents that can't be understood, kept with the reason, and sent to a queue."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flows.identity import SERVICE
from flows.intake.finding import FindingRejected, for_display
from flows.journal.errors import HeadMoved, SecretInRecord
from flows.journal.journal import Journal
from flows.journal.record import Record, refuse_secrets
from flows.serve.sqs import Queue, Sqs
from flows.settings import Settings
from runbooks.errors import AwsRefused

CHAIN = "dead-letters"
REJECTED = "finding.rejected"
_SENT = "dead-letter.sent"
_KEPT_BYTES = 16 * 1024
_MOST_REASONS = 20
_MOST_TEXT = 1_000
# A message with its attributes (SQS, "Amazon SQS message quotas"); and what queues take that were
# made when that was all.
_MESSAGE_BYTES = 1024 * 1024
_FORMER_MESSAGE_BYTES = 256 * 1024
# Of an attribute, beside its name and value.
_ATTRIBUTE_BYTES = 32
# Anything else is rejected, or replaced (SendMessage).
_UNSENDABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# A name and the beginning of its value, in JSON (also within text), YAML, or a query.
_PAIR = re.compile(r"""([\w-]{1,64})[\\"']*\s*[:=]\s*[\\"']*(?!null\b)([^\s\\"',;&}\])]?)""")


@dataclass(frozen=True)
class DeadLetter:
    """A document that was rejected.

    ``reason`` and ``path`` are those of the first thing in it that was rejected, of ``rejected``.
    ``document`` is its beginning as text; None where it was left out, and ``left_out`` says why.
    """

    at: datetime
    reason: str
    path: str
    rejected: int
    via: str
    sha256: str
    bytes: int
    document: str | None
    left_out: str

    def __str__(self) -> str:
        """One line for people; everything in it is safe to show."""
        reason = f"{self.path}: {self.reason}" if self.path else self.reason
        more = f" (and {self.rejected - 1} more reasons)" if self.rejected > 1 else ""
        return (
            f"{self.at:%Y-%m-%d %H:%M:%S} UTC, {self.via}: {reason}{more} "
            f"({self.bytes} bytes, SHA-256 {self.sha256[:12]}…)"
        )


class DeadLetters:
    """Where documents go that can't be understood: into the journal, and to a queue if there is one.

    ``queue`` is the URL of an SQS queue, or empty. Raises InvalidInput, Redirected.
    """

    def __init__(self, journal: Journal, settings: Settings, queue: str = "") -> None:
        self._journal = journal
        self._queue = Queue.read(queue, settings) if queue else None
        self._sqs = Sqs((self._queue,), settings.simulate) if self._queue else None
        self._lock = threading.Lock()
        self._seq = 0
        self._known: set[str] = set()
        self._sent: set[str] = set()

    def put(self, document: bytes, rejected: Sequence[FindingRejected], via: str) -> None:
        """Keep a document with the reasons, durably. The same document again is kept once.

        It is sent to the queue at least once; what the queue has no room for is cut there.

        Raises JournalUnavailable, and what the queue refuses or AWS doesn't answer: to be repeated.
        """
        digest = hashlib.sha256(document).hexdigest()
        body = _body(document, digest, rejected, via)
        self._write(REJECTED, digest, body, self._known)
        if self._queue and self._sqs and digest not in self._sent:
            sent = _send(self._sqs, self._queue, document, body)
            self._write(_SENT, digest, {"sha256": digest, **sent}, self._sent)

    def _write(self, kind: str, digest: str, body: Mapping[str, Any], known: set[str]) -> None:
        """Append a record, unless there is one of its kind for the document."""
        with self._lock:
            self._catch_up()
            while digest not in known:
                with suppress(HeadMoved):
                    self._journal.append(CHAIN, kind, body, SERVICE.actor, after_seq=self._seq)
                self._catch_up()

    def _catch_up(self) -> None:
        for record in self._journal.records(CHAIN, self._seq):
            self._seq = record.seq
            if record.kind == REJECTED:
                self._known.add(record.body["sha256"])
            elif record.kind == _SENT:
                self._sent.add(record.body["sha256"])


def dead_letters(journal: Journal) -> list[DeadLetter]:
    """What was rejected, the newest first. Raises JournalUnavailable."""
    records = reversed(journal.records(CHAIN))
    return [_letter(record) for record in records if record.kind == REJECTED]


def describe(letters: Sequence[DeadLetter]) -> str:
    """What is in the dead letters, in a sentence or two; empty where nothing is."""
    if not letters:
        return ""
    count = "1 document was" if len(letters) == 1 else f"{len(letters)} documents were"
    return f"{count} not understood. The last: {letters[0]}"


def _letter(record: Record) -> DeadLetter:
    body = record.body
    return DeadLetter(
        record.at,
        body["reason"],
        body["path"],
        body["rejected"],
        body["via"],
        body["sha256"],
        body["bytes"],
        body["document"],
        body["left_out"],
    )


def _body(
    document: bytes, digest: str, rejected: Sequence[FindingRejected], via: str
) -> dict[str, Any]:
    reasons = [
        {"reason": _short(each.reason), "path": _short(each.path)}
        for each in rejected[:_MOST_REASONS]
    ]
    first, *others = reasons or [{"reason": "unknown", "path": ""}]
    text, left_out = _text(document)
    return {
        **first,
        "others": others,
        "rejected": len(rejected),
        "via": _short(via),
        "sha256": digest,
        "bytes": len(document),
        "document": text,
        "left_out": left_out,
    }


def _text(document: bytes) -> tuple[str | None, str]:
    """The document's beginning as the journal can hold it; or why it can't."""
    try:
        document.decode()
    except UnicodeDecodeError:
        return None, "it is not text in UTF-8"
    text = document[:_KEPT_BYTES].decode(errors="ignore")
    try:
        for name, value in _PAIR.findall(text):
            refuse_secrets({name: value})
    except SecretInRecord:
        return None, "it looks as if it held a secret"
    return text, ""


def _short(text: str) -> str:
    return for_display(text)[:_MOST_TEXT]


def _send(sqs: Sqs, queue: Queue, document: bytes, body: Mapping[str, Any]) -> dict[str, Any]:
    """Send the document with the reason in its attributes; what there is to know of that."""
    text, encoding = _sendable(document)
    told = {key: str(body[key]) for key in ("reason", "path", "via", "sha256", "bytes")}
    told = {key: value for key, value in {**told, "encoding": encoding}.items() if value}

    def send(most: int) -> dict[str, Any]:
        room = most - sum(len((key + told[key]).encode()) + _ATTRIBUTE_BYTES for key in told)
        content = text.encode()[:room].decode(errors="ignore")
        attributes = {key: {"DataType": "String", "StringValue": told[key]} for key in told}
        answer = sqs.call(queue, "send_message", MessageBody=content, MessageAttributes=attributes)
        return {"queue": queue.url, "message": answer["MessageId"], "cut": content != text}

    try:
        return send(_MESSAGE_BYTES)
    except AwsRefused as refused:
        if refused.code != "InvalidParameterValue":
            raise
        return send(_FORMER_MESSAGE_BYTES)


def _sendable(document: bytes) -> tuple[str, str]:
    """The document as a message can hold it, and how it is encoded then."""
    try:
        text = document.decode()
    except UnicodeDecodeError:
        text = ""
    if not text or _UNSENDABLE.search(text):
        # An empty message can't be sent.
        return base64.b64encode(document).decode() or "=", "base64"
    return text, ""
