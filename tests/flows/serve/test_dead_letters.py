"""Dead letters: kept once with the reason, without secrets, and sent to a queue."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from flows.gameday.aws.faults import Fault
from flows.gameday.aws.server import SimulatedAws
from flows.intake.finding import FindingRejected
from flows.intake.parse import parse_each
from flows.journal.journal import Journal
from flows.journal.verify import verify
from flows.serve.dead_letters import DeadLetter, DeadLetters, dead_letters, describe
from flows.settings import Settings
from runbooks.errors import AwsRefused, AwsUnreachable, InvalidInput
from tests.flows.serve.mailbox import Mailbox, settings_of

DOCUMENT = b'{"detail-type": "GuardDuty Finding", "source": "aws.guardduty", "detail": {}}'
REJECTED = [FindingRejected("there is nothing in it", "detail")]


@pytest.fixture
def settings(simulated_aws: SimulatedAws, tmp_path: Path) -> Settings:
    return settings_of(simulated_aws, tmp_path)


@pytest.fixture
def own_journal(sqlite_url: str) -> Any:
    journal = Journal.open(sqlite_url)
    yield journal
    journal.close()


@pytest.fixture
def mailbox(simulated_aws: SimulatedAws, settings: Settings) -> Mailbox:
    return Mailbox(simulated_aws, "dead-letters", settings)


def kept(journal: Journal, settings: Settings, document: bytes) -> DeadLetter:
    """The dead letter that a document becomes."""
    DeadLetters(journal, settings).put(document, REJECTED, "webhook")
    return dead_letters(journal)[0]


def test_a_document_is_kept_with_the_reason(journal: Journal, settings: Settings) -> None:
    [rejected] = parse_each(DOCUMENT)
    assert isinstance(rejected, FindingRejected)
    DeadLetters(journal, settings).put(DOCUMENT, [rejected], "sqs urgent 6f1c")
    [letter] = dead_letters(journal)
    assert (letter.path, letter.reason) == (rejected.path, rejected.reason)
    assert letter.via == "sqs urgent 6f1c"
    assert letter.sha256 == hashlib.sha256(DOCUMENT).hexdigest()
    assert letter.bytes == len(DOCUMENT)
    assert letter.document == DOCUMENT.decode()
    assert "detail: there is nothing in it" in str(letter)
    assert verify(journal).ok


def test_the_same_document_is_kept_once_whoever_puts_it(
    journal_url: str, journal: Journal, settings: Settings
) -> None:
    elsewhere = Journal.open(journal_url)
    places = [DeadLetters(journal, settings), DeadLetters(elsewhere, settings)]
    documents = [f"rubbish {number % 5}".encode() for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        for number, document in enumerate(documents):
            pool.submit(places[number % 2].put, document, REJECTED, f"sqs rest {number}")
    elsewhere.close()
    assert sorted(letter.document or "" for letter in dead_letters(journal)) == [
        f"rubbish {number}" for number in range(5)
    ]


def test_the_newest_comes_first_and_is_described(own_journal: Journal, settings: Settings) -> None:
    assert describe(dead_letters(own_journal)) == ""
    letters = DeadLetters(own_journal, settings)
    letters.put(b"old", REJECTED, "webhook")
    assert describe(dead_letters(own_journal)).startswith("1 document was not understood.")
    letters.put(b"new", [*REJECTED, FindingRejected("is not JSON")], "sweep")
    found = dead_letters(own_journal)
    assert [letter.document for letter in found] == ["new", "old"]
    said = describe(found)
    assert said.startswith("2 documents were not understood.")
    assert "sweep: detail: there is nothing in it (and 1 more reasons)" in said


@pytest.mark.parametrize(
    "document",
    [
        {"detail": {"SecretAccessKey": "wJalrXUtnFEMI"}},
        {"Message": json.dumps({"Message": json.dumps({"session_token": "FwoGZXIvYXdz"})})},
        '{"detail": {"master-user-password": "hunter2", "trunc',
        "password=hunter2&user=admin",
        "privateKey: MIIEvQIBADANBg",
    ],
    ids=["plain", "within", "truncated", "form", "yaml"],
)
def test_what_looks_like_a_secret_is_left_out(
    document: object, own_journal: Journal, settings: Settings
) -> None:
    text = document if isinstance(document, str) else json.dumps(document)
    letter = kept(own_journal, settings, text.encode())
    assert letter.document is None
    assert "secret" in letter.left_out


@pytest.mark.parametrize(
    "text",
    ['{"password": null}', '{"password": ""}', '{"title": "a password was guessed"}', "tokens: 3"],
)
def test_what_only_speaks_of_secrets_is_kept(
    text: str, own_journal: Journal, settings: Settings
) -> None:
    assert kept(own_journal, settings, text.encode()).document == text


@pytest.mark.parametrize("document", [gzip.compress(DOCUMENT), b"\xff\xfe{\x00"])
def test_what_is_no_text_is_left_out(
    document: bytes, own_journal: Journal, settings: Settings
) -> None:
    letter = kept(own_journal, settings, document)
    assert letter.document is None
    assert letter.left_out == "it is not text in UTF-8"


def test_a_large_document_is_cut(own_journal: Journal, settings: Settings) -> None:
    letter = kept(own_journal, settings, "€".encode() * 100_000)
    assert letter.bytes == 300_000
    assert letter.document == "€" * (16 * 1024 // 3)


def test_hostile_texts_are_made_harmless(own_journal: Journal, settings: Settings) -> None:
    rejected = FindingRejected("is \ud800\x00\n2026-01-01 forged\u202e" + "x" * 5_000, "a\nb\x00")
    DeadLetters(own_journal, settings).put(b"\x00 \xe2\x80\xae", [rejected] * 5_000, "webhook\n")
    [letter] = dead_letters(own_journal)
    assert letter.rejected == 5_000
    assert letter.reason.startswith("is  " + " 2026-01-01 forgedx")
    assert len(str(letter)) < 1_500
    assert "\n" not in str(letter)
    assert verify(own_journal).ok


def test_a_document_is_sent_to_the_queue_once(
    own_journal: Journal, settings: Settings, mailbox: Mailbox
) -> None:
    for _ in range(2):
        DeadLetters(own_journal, settings, mailbox.url).put(DOCUMENT, REJECTED, "webhook")
    [message] = mailbox.receive()
    assert message["Body"] == DOCUMENT.decode()
    said = {key: value["StringValue"] for key, value in message["MessageAttributes"].items()}
    assert said == {
        "reason": "there is nothing in it",
        "path": "detail",
        "via": "webhook",
        "sha256": hashlib.sha256(DOCUMENT).hexdigest(),
        "bytes": str(len(DOCUMENT)),
    }
    assert mailbox.receive(wait=0) == []


def test_what_could_not_be_sent_is_kept_and_sent_when_it_is_put_again(
    own_journal: Journal, settings: Settings, mailbox: Mailbox, simulated_aws: SimulatedAws
) -> None:
    letters = DeadLetters(own_journal, settings, mailbox.url)
    simulated_aws.fault(Fault(service="sqs", operation="SendMessage", effect="server_error"))
    with pytest.raises(AwsUnreachable):
        letters.put(DOCUMENT, REJECTED, "webhook")
    assert len(dead_letters(own_journal)) == 1
    simulated_aws.clear_faults()
    letters.put(DOCUMENT, REJECTED, "webhook")
    assert len(mailbox.receive()) == 1
    assert len(dead_letters(own_journal)) == 1


def test_a_queue_that_is_gone_is_said(
    own_journal: Journal, settings: Settings, mailbox: Mailbox
) -> None:
    mailbox.sqs.delete_queue(QueueUrl=mailbox.url)
    with pytest.raises(AwsRefused, match="NonExistentQueue"):
        DeadLetters(own_journal, settings, mailbox.url).put(DOCUMENT, REJECTED, "webhook")
    with pytest.raises(InvalidInput):
        DeadLetters(own_journal, settings, "dead-letters")


@pytest.mark.parametrize("document", [b"", b"\x00\x01", gzip.compress(DOCUMENT), b"\xef\xbf\xbe"])
def test_what_no_message_can_hold_is_sent_in_base64(
    document: bytes, own_journal: Journal, settings: Settings, mailbox: Mailbox
) -> None:
    DeadLetters(own_journal, settings, mailbox.url).put(document, REJECTED, "webhook")
    [message] = mailbox.receive()
    assert message["MessageAttributes"]["encoding"]["StringValue"] == "base64"
    assert base64.b64decode(message["Body"].rstrip("=") + "===") == document


@pytest.mark.parametrize("most", [1024 * 1024, 256 * 1024])
def test_what_the_queue_has_no_room_for_is_cut(
    most: int,
    own_journal: Journal,
    settings: Settings,
    mailbox: Mailbox,
) -> None:
    mailbox.sqs.set_queue_attributes(
        QueueUrl=mailbox.url, Attributes={"MaximumMessageSize": str(most)}
    )
    document = "ä".encode() * 1024 * 1024
    DeadLetters(own_journal, settings, mailbox.url).put(document, REJECTED, "webhook")
    [message] = mailbox.receive()
    assert most - 1_000 < len(message["Body"].encode()) < most
    assert message["MessageAttributes"]["bytes"]["StringValue"] == str(len(document))
