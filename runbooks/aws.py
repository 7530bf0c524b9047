"""The one door to AWS: reads, changes and waits, in plan mode and in live mode.

In plan mode a change is recorded and answered with pending values in the shape of the API's
answer; nothing is sent. In live mode it is held against the guardrails and the approved plan, its
intent is written down durably, then it is sent, then its outcome is written down.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, Protocol, TypeVar

import tenacity

from runbooks import clock
from runbooks.calls import (
    Call,
    Change,
    Keep,
    PlannedStep,
    Resource,
    Undo,
    bind_answer,
    is_pending,
    matches,
    pending,
)
from runbooks.connections import Connections
from runbooks.errors import (
    AccessDenied,
    AwsRefused,
    AwsUnreachable,
    ClampdownError,
    Interrupted,
    NoCredentials,
    NotContained,
    OutcomeUnknown,
    PlanChanged,
    Throttled,
)

THROTTLE_PATIENCE = timedelta(seconds=60)
_FIRST_LOOK = timedelta(seconds=1)

ResultT = TypeVar("ResultT")

_THROTTLING = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "TooManyRequestsException",
        "SlowDown",
        "PriorRequestNotComplete",
        "EC2ThrottledException",
    }
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_INVALID_CREDENTIALS = frozenset(
    {
        "AuthFailure",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "OptInRequired",
        "RequestInTheFuture",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_KEPT = ("Id", "Arn", "Name", "State")
_SIGN_IN = (
    "Sign in again. If that does not help: is this machine's clock right, and the Region enabled "
    "for the account?"
)
_STALE = "Invalid IAM Instance Profile name"
# EC2 shows changes with some delay ("Eventual consistency in the Amazon EC2 API"); between looks.
_SETTLING = (0.0, 0.3, 1.0, 2.0)


@dataclass(frozen=True)
class IncidentContext:
    """What steps may know of the incident.

    ``id`` marks everything created for it. ``remote_addresses`` are the finding's public
    addresses (IPv4 or IPv6), ``finding`` the finding's id or "manual".
    """

    id: str
    finding: str = "manual"
    remote_addresses: tuple[str, ...] = ()

    @property
    def marks(self) -> dict[str, str]:
        """The tags of everything that is created for the incident."""
        return {"clampdown:incident": self.id}


@dataclass(frozen=True)
class Progress:
    """How far something is that AWS takes its time for. ``share`` is between 0 and 1."""

    done: bool
    text: str
    share: float = 0.0


@dataclass(frozen=True)
class Where:
    """The account and Region in which a step acts."""

    account: str
    region: str


class Once:
    """What the targets of one incident share: done by the first that needs it, known to the rest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[object, threading.Lock] = {}
        self._results: dict[object, Any] = {}

    def __call__(self, key: object, make: Callable[[], ResultT]) -> ResultT:
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._results:
                self._results[key] = make()
            result: ResultT = self._results[key]
            return result


class Ledger(Protocol):
    """Where intents and outcomes are written down; the journal, seen from below."""

    def intend(self, change: Change) -> int:
        """Write the intent durably and return its number. Raises where it can't be written."""

    def require_right(self) -> None:
        """Raise where this process has lost the right to carry the incident out."""

    def done(self, intent: int, request_id: str, identifiers: Mapping[str, Any]) -> None: ...

    def accepted(self, intent: int, request_id: str, code: str) -> None:
        """AWS answered that the state asked for is there already."""

    def failed(self, intent: int, error: ClampdownError) -> None: ...

    def unknown(self, intent: int, error: ClampdownError) -> None: ...

    def progress(self, what: str, progress: Progress) -> None: ...

    def warn(self, text: str) -> None: ...


class Guard(Protocol):
    """What may never be changed, whatever the plan says."""

    def check(self, change: Change, where: Where) -> None:
        """Raise ProtectedResource or BudgetExceeded."""


class Reader:
    """Reads, alone and side by side, with patience for throttling (a minute's, or what is given)."""

    def __init__(
        self,
        connections: Connections,
        where: Where,
        stop: threading.Event | None = None,
        patience: timedelta | None = None,
    ) -> None:
        self.connections = connections
        self.where = where
        self._stop = stop or threading.Event()
        self._patience = patience

    @property
    def account(self) -> str:
        return self.where.account

    @property
    def region(self) -> str:
        return self.where.region

    def read(
        self, call: Call, *, foreseen: Mapping[str, Any] | None = None, absent: Sequence[str] = ()
    ) -> dict[str, Any]:
        """The whole answer of a reading call, all pages of it.

        ``foreseen`` answers a call about something that the plan has yet to create. ``absent``
        holds error codes that mean that there is nothing; the answer is then empty.

        Raises AwsRefused and its kinds, AwsUnreachable, NoCredentials.
        """
        if is_pending(call.params):
            return dict(foreseen or {})
        try:
            answer: dict[str, Any] = self._patiently(call, lambda: self._pages(call))
            return answer
        except AwsRefused as refusal:
            if refusal.code in absent:
                return {}
            raise

    def read_all(
        self, calls: Sequence[Call], *, absent: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """The answers of several reads, made side by side, in the order of the calls."""
        if len(calls) < 2:
            return [self.read(call, absent=absent) for call in calls]
        reads = [partial(self.read, call, absent=absent) for call in calls]
        return self._side_by_side(reads)

    def _client(self, call: Call) -> Any:
        return self.connections.client(call.service, self.account, self.region)

    def _pages(self, call: Call) -> dict[str, Any]:
        client = self._client(call)
        if client.can_paginate(call.operation):
            pages = client.get_paginator(call.operation).paginate(**call.params)
            answer: dict[str, Any] = pages.build_full_result()
        else:
            answer = getattr(client, call.operation)(**call.params)
        return answer

    def _patiently(self, call: Call, send: Callable[[], Any], *, changes: bool = False) -> Any:
        """Send, again and later where AWS certainly did nothing: throttled, or never reached."""
        patience = (self._patience or THROTTLE_PATIENCE).total_seconds()
        gives_up = clock.monotonic() + patience
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: _not_executed(error, self._fresh)),
            wait=tenacity.wait_exponential(multiplier=0.2, max=5) + tenacity.wait_random(0, 0.2),
            stop=lambda state: clock.monotonic() >= gives_up,
            sleep=self._pause,
            reraise=True,
        )

        def attempt() -> Any:
            if self._stop.is_set():
                raise Interrupted(f"{call.action} was not sent: a stop was asked for.")
            try:
                return send()
            except Exception as error:
                raise explain(call, error, changes=changes) from error

        try:
            return retrying(attempt)
        except _Expired:
            self.connections.forget(self.account)
            return retrying(attempt)

    def _side_by_side(self, works: Sequence[Callable[[], ResultT]]) -> list[ResultT]:
        """The results of all, or, once all have ended, the first error."""
        pool = self.connections.pool
        return _gather([pool.submit(work) for work in clock.side_by_side(works)])

    def _pause(self, seconds: float) -> None:
        clock.wait(self._stop, seconds)

    def _fresh(self, error: AwsRefused) -> bool:
        """Whether the refusal is only that AWS does not know yet what was created a moment ago."""
        return False


class Aws(Reader, ABC):
    """What a step acts through.

    ``incident`` says for which incident, ``where`` in which account and Region. ``once(key, make)``
    does what several targets of the incident need for the first of them only, and answers the
    others with its result.
    """

    def __init__(
        self,
        connections: Connections,
        where: Where,
        incident: IncidentContext,
        once: Once,
        stop: threading.Event | None = None,
    ) -> None:
        super().__init__(connections, where, stop)
        self.incident = incident
        self.once = once

    @abstractmethod
    def change(
        self,
        call: Call,
        *,
        on: Resource,
        undo: Call | Undo | tuple[Undo, ...] | Keep,
        why: str,
        accept: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        """Make a change; the answer is AWS's, or in plan mode pending values in its shape.

        ``on`` is what the call changes; ``why`` a few words for people; the other parameters are
        those of :class:`Change`.

        Raises Refused and its kinds, PlanChanged, AwsRefused and its kinds, OutcomeUnknown,
        AwsUnreachable, Interrupted.
        """

    @abstractmethod
    def change_all(self, changes: Sequence[Change]) -> list[dict[str, Any]]:
        """Make independent changes side by side; answers come in the order of the changes.

        All are tried; afterwards the first error is raised.
        """

    @abstractmethod
    def foresee(self, change: Change) -> None:
        """Have the plan allow a change that is made only if it turns out to be needed.

        Pending values stand for what isn't known yet: an interface that an intruder attaches
        while the step runs, say.
        """

    @abstractmethod
    def settle(self, look: Callable[[], Sequence[Change]]) -> None:
        """Make what a fresh look still asks for, and look again, until it asks for nothing.

        In plan mode nothing is looked at: what ``look`` could ask for is to be foreseen. It gives
        up after a few looks; what then is still missing is for the step's verification to find.
        """

    @abstractmethod
    def moment(self, *, after: timedelta = timedelta(0)) -> str:
        """The time of the call, in UTC as IAM policies write it; in plan mode a pending value.

        ``after`` is how much later than the call.
        """

    @abstractmethod
    def wait(
        self, what: str, look: Callable[[], Progress], *, every: timedelta, within: timedelta
    ) -> None:
        """Wait until ``look`` says that it is done. In plan mode nothing is waited for.

        It is looked for after a second, and then at growing intervals of at most ``every``.

        Raises NotContained when it takes longer than ``within``.
        """

    @abstractmethod
    def pause(self, what: str, duration: timedelta) -> None:
        """Let time pass that AWS needs. In plan mode none does."""

    @abstractmethod
    def warn(self, text: str) -> None:
        """Say what this step can't do here: it stands in the plan, and in the journal."""


class PlanningAws(Aws):
    """Plan mode: reads are made, changes are recorded."""

    def __init__(
        self,
        connections: Connections,
        where: Where,
        incident: IncidentContext,
        step_id: str,
        once: Once,
    ) -> None:
        super().__init__(connections, where, incident, once)
        self._step_id = step_id
        self.changes: list[Change] = []
        self.contingent: list[Change] = []
        self.warnings: list[str] = []

    def change(
        self,
        call: Call,
        *,
        on: Resource,
        undo: Call | Undo | tuple[Undo, ...] | Keep,
        why: str,
        accept: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        return self.change_all([Change(call, on, undo, why, accept)])[0]

    def change_all(self, changes: Sequence[Change]) -> list[dict[str, Any]]:
        answers = []
        for change in changes:
            self.changes.append(change)
            client = self._client(change.call)
            model = client.meta.service_model.operation_model(
                client.meta.method_to_api_mapping[change.call.operation]
            )
            name = f"{self._step_id}/{len(self.changes)}"
            answers.append(_foresee(model.output_shape, name, depth=0) or {})
        return answers

    def foresee(self, change: Change) -> None:
        self.contingent.append(change)

    def settle(self, look: Callable[[], Sequence[Change]]) -> None:
        return

    def moment(self, *, after: timedelta = timedelta(0)) -> str:
        later = f"{after} after " if after else ""
        return pending(f"{self._step_id}/{later}the time of the call")

    def wait(
        self, what: str, look: Callable[[], Progress], *, every: timedelta, within: timedelta
    ) -> None:
        return

    def pause(self, what: str, duration: timedelta) -> None:
        return

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)


@dataclass(frozen=True)
class Planned:
    """Where in the plan a permitted call stands: the ``number`` of the change in its step."""

    step: PlannedStep
    number: int


@dataclass
class Permit:
    """The calls that a step may make: those of its approved plan.

    ``others`` is the same step as planned for the incident's other targets. What targets share, an
    isolation group say, is planned for the first of them and made by whichever needs it first.

    Pending values are bound by the first call in which they occur, and by AWS's answers. What was
    only foreseen may happen several times, with other values each time.
    """

    planned: PlannedStep
    others: Sequence[PlannedStep] = ()
    _chosen: dict[str, dict[str, str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self, call: Call) -> Planned:
        """Where in the plan the call stands. Raises PlanChanged."""
        with self._lock:
            for step in (self.planned, *self.others):
                known = self._chosen.setdefault(step.target, {})
                for number, change in enumerate((*step.changes, *step.contingent), start=1):
                    chosen = dict(known)
                    if matches(change.call, call, chosen):
                        if number <= len(step.changes):
                            known.update(chosen)
                        return Planned(step, number)
        raise PlanChanged(
            f"{self.planned.id} would now make a call that was not planned: {call}.",
            advice="It was not sent. The plan is made again.",
        )

    def answered(self, planned: Planned, answer: Mapping[str, Any]) -> None:
        with self._lock:
            known = self._chosen[planned.step.target]
            bind_answer(f"{planned.step.id}/{planned.number}", answer, known)


class LiveAws(Aws):
    """Live mode: guardrails, plan, intent, call, outcome, in this order."""

    def __init__(
        self,
        connections: Connections,
        where: Where,
        incident: IncidentContext,
        *,
        ledger: Ledger,
        guard: Guard,
        permit: Permit | None,
        once: Once,
        stop: threading.Event,
    ) -> None:
        super().__init__(connections, where, incident, once, stop)
        self._ledger = ledger
        self._guard = guard
        self._permit = permit
        self._created: set[str] = set()

    def change(
        self,
        call: Call,
        *,
        on: Resource,
        undo: Call | Undo | tuple[Undo, ...] | Keep,
        why: str,
        accept: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        return self._carry_out(Change(call, on, undo, why, accept))

    def change_all(self, changes: Sequence[Change]) -> list[dict[str, Any]]:
        if len(changes) < 2:
            return [self._carry_out(change) for change in changes]
        return self._side_by_side([partial(self._carry_out, change) for change in changes])

    def foresee(self, change: Change) -> None:
        return

    def settle(self, look: Callable[[], Sequence[Change]]) -> None:
        for seconds in _SETTLING:
            if clock.wait(self._stop, seconds):
                raise Interrupted("What was changed was not looked at: a stop was asked for.")
            missing = look()
            if not missing:
                return
            self.change_all(missing)

    def moment(self, *, after: timedelta = timedelta(0)) -> str:
        return (clock.now() + after).strftime("%Y-%m-%dT%H:%M:%SZ")

    def wait(
        self, what: str, look: Callable[[], Progress], *, every: timedelta, within: timedelta
    ) -> None:
        deadline = clock.monotonic() + within.total_seconds()
        # What is small is done soon: looked for at first after a second, then less and less often.
        patience = min(_FIRST_LOOK, every)
        while not (progress := look()).done:
            self._ledger.progress(what, progress)
            if clock.monotonic() >= deadline:
                raise NotContained(
                    f"{what}: still {progress.text} after {within}.",
                    advice="It goes on at AWS; `clampdown resume` looks again.",
                )
            if clock.wait(self._stop, patience.total_seconds()):
                raise Interrupted(f"{what}: no longer waited for, a stop was asked for.")
            patience = min(2 * patience, every)
        self._ledger.progress(what, progress)

    def pause(self, what: str, duration: timedelta) -> None:
        self._ledger.progress(what, Progress(False, f"{duration.total_seconds():.0f} s", 0.0))
        if clock.wait(self._stop, duration.total_seconds()):
            raise Interrupted(f"{what}: no longer waited for, a stop was asked for.")

    def warn(self, text: str) -> None:
        self._ledger.warn(text)

    def _carry_out(self, change: Change) -> dict[str, Any]:
        if self._stop.is_set():
            raise Interrupted(f"{change.call.action} was not sent: a stop was asked for.")
        self.connections.require_account(
            self.account, self.region, f"{change.call.action} was not sent."
        )
        self._guard.check(change, self.where)
        planned = self._permit.check(change.call) if self._permit else None
        # Made before the intent is written, so that one is written only for what can be sent.
        self._client(change.call)
        intent = self._ledger.intend(change)
        try:
            answer: dict[str, Any] = self._patiently(
                change.call, lambda: self._send(change.call), changes=True
            )
        except AwsRefused as refusal:
            if refusal.code in change.accept:
                self._ledger.accepted(intent, "", refusal.code)
                return {}
            self._ledger.failed(intent, refusal)
            raise
        except OutcomeUnknown as error:
            self._ledger.unknown(intent, error)
            raise
        except ClampdownError as error:
            self._ledger.failed(intent, error)
            raise
        request_id = str(answer.pop("ResponseMetadata", {}).get("RequestId", ""))
        identifiers = identifiers_in(answer)
        self._ledger.done(intent, request_id, identifiers)
        self._created.update(_texts(identifiers) - {"", self.account})
        if self._permit and planned:
            self._permit.answered(planned, answer)
        return answer

    def _send(self, call: Call) -> Any:
        # With each try, because the session may be another one by then.
        client = self._client(call)
        self.connections.require_account(self.account, self.region, f"{call.action} was not sent.")
        # Last of all: this process may have been stopped, and another one gone on, since the intent.
        self._ledger.require_right()
        return getattr(client, call.operation)(**call.params)

    def _fresh(self, error: AwsRefused) -> bool:
        unknown = "NotFound" in error.code or error.code == "NoSuchEntity"
        return _STALE in error.what or (
            unknown and any(identity in error.what for identity in self._created)
        )


class _Expired(NoCredentials):
    """The session has run out; AWS did nothing."""


def explain(call: Call, error: Exception, *, changes: bool) -> Exception:
    """What an SDK error means for the person on call.

    ``changes`` is whether the call changes something. Then whatever may have come after AWS
    received it is OutcomeUnknown; a read is only AwsUnreachable.
    """
    from botocore import exceptions, parsers

    if isinstance(error, ClampdownError):
        return error
    if isinstance(error, exceptions.ClientError):
        return _explain_answer(call, error, changes=changes)
    if isinstance(
        error,
        (
            exceptions.EndpointConnectionError,
            exceptions.ConnectTimeoutError,
            exceptions.ProxyConnectionError,
        ),
    ):
        return AwsUnreachable(f"{call.action}: AWS can't be reached ({error}). It was not sent.")
    if isinstance(
        error,
        (
            exceptions.HTTPClientError,
            exceptions.ConnectionError,
            exceptions.IncompleteReadError,
            exceptions.ResponseStreamingError,
            parsers.ResponseParserError,
        ),
    ):
        said = f"{call.action}: no answer came from AWS ({error})"
        return _lost(said) if changes else AwsUnreachable(f"{said}.")
    if isinstance(error, exceptions.ParamValidationError):
        return AwsRefused(f"{call.action}: {error}", code="ParamValidation")
    if isinstance(
        error,
        (
            exceptions.NoCredentialsError,
            exceptions.PartialCredentialsError,
            exceptions.CredentialRetrievalError,
            exceptions.TokenRetrievalError,
            exceptions.SSOError,
        ),
    ):
        return NoCredentials(f"{call.action}: {error}", advice=_SIGN_IN)
    if isinstance(error, exceptions.BotoCoreError):
        said = f"{call.action}: {error}"
        return _lost(said) if changes else AwsRefused(said, code=type(error).__name__)
    return error


def _explain_answer(call: Call, error: Any, *, changes: bool) -> ClampdownError:
    detail = error.response.get("Error", {})
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
    code = str(detail.get("Code", "Unknown"))
    said = f"{call.action}: AWS answered {code}: {detail.get('Message', '')}"
    if code in _EXPIRED:
        return _Expired(said, advice=_SIGN_IN)
    if code in _THROTTLING:
        return Throttled(said, code=code, advice="Try again: `clampdown resume`.")
    if code in _DENIED:
        return AccessDenied(
            said, code=code, advice=f"Allow {call.action} (see `clampdown permissions`)."
        )
    if code in _INVALID_CREDENTIALS:
        return NoCredentials(said, advice=_SIGN_IN)
    if status >= 500:
        return _lost(said) if changes else AwsUnreachable(said)
    return AwsRefused(said, code=code)


def _lost(said: str) -> OutcomeUnknown:
    return OutcomeUnknown(f"{said}; it may or may not have been done.")


def identifiers_in(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The ids and ARNs of an answer: what the journal keeps of it, and never a secret."""
    kept: dict[str, Any] = {}
    for key, value in answer.items():
        if isinstance(value, Mapping):
            if inner := identifiers_in(value):
                kept[key] = inner
        elif isinstance(value, list):
            items = [identifiers_in(item) for item in value if isinstance(item, Mapping)]
            if any(items):
                kept[key] = [item for item in items if item]
        elif isinstance(value, str) and key.endswith(_KEPT) and "AccessKey" not in key:
            kept[key] = value
    return kept


def _not_executed(error: BaseException, fresh: Callable[[AwsRefused], bool]) -> bool:
    if isinstance(error, (Throttled, AwsUnreachable)):
        return True
    return isinstance(error, AwsRefused) and fresh(error)


def _gather(futures: Sequence[Future[Any]]) -> list[Any]:
    """The results of all, or, once all have ended, the first error."""
    errors = [error for future in futures if (error := future.exception()) is not None]
    if errors:
        raise errors[0]
    return [future.result() for future in futures]


def _foresee(shape: Any, name: str, *, depth: int) -> Any:
    """Pending values in the shape of an answer, as botocore's model describes it."""
    if shape is None or depth > 4:
        return {}
    if shape.type_name == "structure":
        return {
            member: _foresee(inner, f"{name}/{member}", depth=depth + 1)
            for member, inner in shape.members.items()
        }
    if shape.type_name == "list":
        return [_foresee(shape.member, name, depth=depth + 1)]
    if shape.type_name == "map":
        return {}
    if shape.type_name == "boolean":
        return False
    if shape.type_name in {"integer", "long", "float", "double"}:
        return 0
    return pending(name)


def _texts(value: Any) -> set[str]:
    """The ids, ARNs and names in what :func:`identifiers_in` kept."""
    if isinstance(value, Mapping):
        named = [item for key, item in value.items() if not str(key).endswith("State")]
        return set().union(*(_texts(item) for item in named))
    if isinstance(value, list):
        return set().union(*(_texts(item) for item in value))
    return {value} if isinstance(value, str) else set()
