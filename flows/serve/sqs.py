"""SQS: queues by their URLs, and calls to them with the service's own credentials."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from queue import Empty, SimpleQueue
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from flows.settings import Settings
from runbooks.aws import explain
from runbooks.calls import Call
from runbooks.connections import AccountAccess, Connections, require_loopback
from runbooks.errors import InvalidInput, NoCredentials, Redirected, Throttled

MOST_IN_BATCH = 10
"""Messages in one call (SQS, "Amazon SQS message quotas")."""

_SIDE_BY_SIDE = 8
_FORM = "https://sqs.REGION.amazonaws.com/ACCOUNT/NAME"
# GetQueueUrl answers with the Region's endpoint. The others are the same queue through FIPS and
# dual-stack endpoints (AWS General Reference, "Amazon SQS endpoints and quotas"; botocore's
# endpoint rules for the suffixes of China). VPC endpoints have these names by private DNS.
_HOST = re.compile(
    r"sqs(?:-fips)?\.(?P<region>[a-z]{2}(?:-[a-z]+)+-\d)\."
    r"(?:amazonaws\.com|api\.aws|(?P<china>amazonaws\.com\.cn|api\.amazonwebservices\.com\.cn))",
    re.ASCII,
)
# "A queue name can have up to 80 characters … alphanumeric characters, hyphens (-), and
# underscores (_)" (CreateQueue).
_PATH = re.compile(r"/(?P<account>\d{12})/(?P<name>[A-Za-z0-9_-]{1,80}(?P<fifo>\.fifo)?)", re.ASCII)

ItemT = TypeVar("ItemT")


@dataclass(frozen=True)
class Queue:
    """A queue of SQS; whose it is and where, as its URL says."""

    url: str
    account: str
    region: str
    name: str

    @classmethod
    def read(cls, url: str, settings: Settings) -> Queue:
        """The queue with this URL.

        In a simulation it must be one of the simulated AWS; its URL doesn't say the Region, which
        is that of the settings.

        Raises InvalidInput for what isn't the URL of a standard queue at AWS, or in the simulation.
        """
        try:
            parts = urlsplit(url)
        except ValueError:
            parts = urlsplit("")
        path = _PATH.fullmatch(parts.path)
        if path is None or parts.query or parts.fragment:
            raise _not_a_queue(url, "an SQS queue", _FORM)
        if path["fifo"]:
            raise InvalidInput(
                f"{url} is a FIFO queue: what is urgent would wait in it for all that came before.",
                advice="Have EventBridge send to a standard queue.",
            )
        region = settings.region
        if not settings.simulate:
            region = _live(url, parts)
        elif not _is_simulated(parts):
            raise _not_a_queue(url, "a simulated queue", f"{settings.simulate}/ACCOUNT/NAME")
        elif not region:
            raise InvalidInput(
                f"The URL {url} doesn't say in which Region the simulated queue is.",
                advice="Set CLAMPDOWN_REGION.",
            )
        return cls(parts.geturl(), path["account"], region, path["name"])


def _live(url: str, parts: SplitResult) -> str:
    """The Region in the URL of a queue at AWS."""
    host = _HOST.fullmatch(parts.netloc)
    if parts.scheme != "https" or host is None:
        raise _not_a_queue(url, "a queue at AWS", _FORM)
    region = host["region"]
    if region.startswith("cn-") != bool(host["china"]):
        raise InvalidInput(f"AWS has no endpoint {parts.netloc}: is the Region right?")
    return region


def _is_simulated(parts: SplitResult) -> bool:
    try:
        require_loopback(f"{parts.scheme}://{parts.netloc}")
    except Redirected:
        return False
    return True


def _not_a_queue(url: str, what: str, form: str) -> InvalidInput:
    return InvalidInput(f"{url[:200]!r} is not the URL of {what}.", advice=f"It looks like {form}.")


class Sqs:
    """Calls to these queues, as whoever the service runs as: no role is assumed for them.

    A queue may be in another account than the caller, where its policy lets the caller in.
    ``simulate`` is the URL of a simulated AWS, empty for AWS itself. Raises Redirected.
    """

    def __init__(self, queues: Sequence[Queue], simulate: str = "") -> None:
        self._connections = Connections(
            {queue.account: AccountAccess() for queue in queues},
            session_name="clampdown-intake",
            simulate=simulate or None,
        )

    def call(self, queue: Queue, operation: str, **params: Any) -> dict[str, Any]:
        """AWS's answer. Nothing is retried.

        Raises AwsRefused and its kinds, AwsUnreachable, NoCredentials.
        """
        try:
            client = self._connections.client("sqs", queue.account, queue.region)
            answer: dict[str, Any] = getattr(client, operation)(QueueUrl=queue.url, **params)
        except Exception as error:
            # Batches need no permission of their own (Service Authorization Reference, SQS).
            sent = Call("sqs", operation.removesuffix("_batch"))
            reason = explain(sent, error, changes=False)
            if isinstance(reason, NoCredentials):
                # They may have been renewed since: the next call takes them anew.
                self._connections.forget(queue.account)
            if isinstance(reason, Throttled):
                # Nobody has to do anything about it.
                reason.advice = ""
            raise reason from error
        return answer

    def batch(
        self, queue: Queue, operation: str, entries: Sequence[Mapping[str, Any]]
    ) -> dict[int, bool]:
        """Call a batch operation; which of the entries have failed, by their place.

        Those with True were refused and would be again. Raises as ``call``.
        """
        numbered = [{"Id": str(number), **entry} for number, entry in enumerate(entries)]
        answer = self.call(queue, operation, Entries=numbered)
        return {int(item["Id"]): bool(item["SenderFault"]) for item in answer.get("Failed", ())}

    def close(self) -> None:
        self._connections.close()


def side_by_side(
    items: Iterable[ItemT], act: Callable[[ItemT], None], within: timedelta | None = None
) -> None:
    """Do it for each, several at a time, until all is done or the time is over.

    ``act`` raises nothing. Its threads die with the process, which an executor's don't: nobody has
    to wait at the exit for a network that is gone.
    """
    work: SimpleQueue[ItemT] = SimpleQueue()
    for item in items:
        work.put(item)

    def take_turns() -> None:
        with suppress(Empty):
            while True:
                act(work.get_nowait())

    threads = [
        threading.Thread(target=take_turns, name="sqs-call", daemon=True)
        for _ in range(min(_SIDE_BY_SIDE, work.qsize()))
    ]
    for thread in threads:
        thread.start()
    ends = None if within is None else time.monotonic() + within.total_seconds()
    for thread in threads:
        thread.join(None if ends is None else max(0.0, ends - time.monotonic()))
