"""The sweep: GuardDuty itself is asked for what was updated, because events can be lost."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from flows.identity import SERVICE
from flows.intake.fetch import MOST_AT_ONCE
from flows.journal.errors import IncidentHeld, JournalUnavailable
from flows.journal.journal import Journal
from flows.serve.sparing_log import SparingLog
from flows.serve.taking import AWAY
from runbooks.aws import IncidentContext, Once, PlanningAws, Where
from runbooks.calls import Call
from runbooks.connections import Connections
from runbooks.errors import ClampdownError, InvalidInput
from runbooks.playbook import Playbooks

CHAIN = "sweep"
DONE = "sweep.done"
_VIA = "sweep"
_FIRST = timedelta(hours=24)
# Findings show up some minutes after the time at which they say they were updated; nor are all
# clocks the same.
_OVERLAP = timedelta(minutes=10)
_WRITTEN_EVERY = timedelta(hours=1)
# GuardDuty keeps findings for 90 days; what was swept longer ago doesn't matter.
_LOOK_BACK = (timedelta(hours=25), timedelta(days=90))
_AT_LEAST = re.compile(r"(>=|>|==) ([\d.]+)")
_LOG = logging.getLogger(__name__)


class Taken(Protocol):
    """What became of a document, as far as the sweep wants to know."""

    @property
    def findings(self) -> int: ...
    @property
    def duplicates(self) -> int: ...


@dataclass(frozen=True)
class Swept:
    """What a sweep has found.

    ``findings`` is how many GuardDuty has shown, ``new`` how many of them weren't known. ``places``
    are the accounts and Regions of which all was taken; ``failures`` says why others weren't.
    ``elsewhere`` is whether another process is sweeping, and nothing was done here.
    """

    findings: int = 0
    new: int = 0
    places: tuple[Where, ...] = ()
    failures: tuple[str, ...] = ()
    elsewhere: bool = False


@dataclass
class _Last:
    """The last complete sweep of a place: when it began, and when one was last written down."""

    began: datetime
    written: datetime


class Sweep:
    """Asks GuardDuty, in every account and Region of playbooks.yaml, for what was updated since the
    last sweep, and has it taken like what comes from a queue.

    ``take(document, via)`` decides about a document and raises ClampdownError where it can't.
    ``region`` is where accounts are swept for which playbooks.yaml gives no Regions.
    """

    def __init__(
        self,
        playbooks: Playbooks,
        connections: Connections,
        journal: Journal,
        take: Callable[[bytes, str], Taken],
        *,
        region: str = "",
    ) -> None:
        self._playbooks = playbooks
        self._connections = connections
        self._journal = journal
        self._take = take
        self._region = region
        self._simulate = connections.simulate or ""
        self._last: dict[Where, _Last] = {}
        self._recalled = False
        self._log = SparingLog(_LOG)

    def once(self) -> Swept:
        """Sweep all places, one after the other; one that fails doesn't keep the others from it.

        A place of which not all could be taken is swept again from where it was last complete.

        Raises JournalUnavailable.
        """
        try:
            with self._journal.hold(CHAIN):
                return self._sweep_all()
        except IncidentHeld:
            return Swept(elsewhere=True)

    def _sweep_all(self) -> Swept:
        swept = Swept()
        places = list(self._places())
        self._recall(places)
        for where in places:
            swept = self._sweep(where, swept)
        for account in sorted({*self._playbooks.accounts} - {where.account for where in places}):
            why = "playbooks.yaml gives no regions for it. Give them there, or CLAMPDOWN_REGION."
            swept = self._fail(swept, f"Account {account}", why)
        return swept

    def _places(self) -> Iterator[Where]:
        for account, details in self._playbooks.accounts.items():
            for region in details.regions or filter(None, (self._region,)):
                yield Where(account, region)

    def _recall(self, places: Sequence[Where]) -> None:
        """Have the journal say, once, when the places were swept before this process began."""
        if self._recalled:
            return
        now = datetime.now(UTC)
        for back in _LOOK_BACK:
            for record in self._journal.find(kind=DONE, since=now - back):
                body = record.body
                if body["simulate"] == self._simulate:
                    where = Where(body["account"], body["region"])
                    self._last[where] = _Last(datetime.fromisoformat(body["began"]), record.at)
            if all(where in self._last for where in places):
                break
        self._recalled = True

    def _sweep(self, where: Where, swept: Swept) -> Swept:
        began = datetime.now(UTC)
        last = self._last.get(where)
        # A sweep that seems to have begun in the future was one by a clock that was wrong.
        since = last.began - _OVERLAP if last and last.began <= began else began - _FIRST
        found, new, failure = 0, 0, ""
        try:
            for finding in self._updated(where, since):
                found += 1
                document = json.dumps({"Findings": [finding]}, default=str).encode()
                try:
                    taken = self._take(document, _VIA)
                    new += taken.findings - taken.duplicates
                except AWAY:
                    raise
                except Exception as error:
                    # It is the finding's own, or a fault of ours: the others are taken.
                    failure = failure or f"{finding.get('Arn')} can't be taken: {_said(error)}"
        except JournalUnavailable:
            raise
        except ClampdownError as error:
            failure = str(error)
        swept = replace(swept, findings=swept.findings + found, new=swept.new + new)
        if failure:
            return self._fail(swept, f"{where.account}, {where.region}", failure)
        self._complete(where, began, new)
        return replace(swept, places=(*swept.places, where))

    def _fail(self, swept: Swept, place: str, why: str) -> Swept:
        failure = f"{place} was not swept to the end: {why}"
        self._log.warn(place, failure)
        return replace(swept, failures=(*swept.failures, failure))

    def _updated(self, where: Where, since: datetime) -> Iterator[dict[str, Any]]:
        """The findings updated since then, the most severe first; archived ones, too: whoever
        follows them wants to know."""
        aws = PlanningAws(self._connections, where, IncidentContext("none"), "sweep", Once())
        # Without a role an account is entered as the caller is, which may be another one's.
        self._connections.require_account(where.account, where.region, "It was not asked.")
        detectors = aws.read(Call("guardduty", "list_detectors")).get("DetectorIds", [])
        if not detectors:
            raise InvalidInput("GuardDuty is not turned on there.")
        criterion: dict[str, Any] = {
            "updatedAt": {"GreaterThanOrEqual": int(since.timestamp() * 1000)}
        }
        if least := _least_severity(self._playbooks):
            criterion["severity"] = {"GreaterThanOrEqual": least}
        # "You can have only one detector per account per Region" (CreateDetector).
        listed = Call(
            "guardduty",
            "list_findings",
            DetectorId=detectors[0],
            FindingCriteria={"Criterion": criterion},
            SortCriteria={"AttributeName": "severity", "OrderBy": "DESC"},
        )
        ids = aws.read(listed).get("FindingIds", [])
        for start in range(0, len(ids), MOST_AT_ONCE):
            wanted = Call(
                "guardduty",
                "get_findings",
                DetectorId=detectors[0],
                FindingIds=ids[start : start + MOST_AT_ONCE],
                SortCriteria={"AttributeName": "severity", "OrderBy": "DESC"},
            )
            yield from aws.read(wanted).get("Findings", [])

    def _complete(self, where: Where, began: datetime, new: int) -> None:
        """Remember it, and write it down where something was new, or once an hour."""
        last = self._last.get(where)
        if last and not new and began - last.written < _WRITTEN_EVERY:
            last.began = began
            return
        body = {
            "account": where.account,
            "region": where.region,
            "began": began.isoformat(),
            "found": new,
            "simulate": self._simulate,
        }
        record = self._journal.append(CHAIN, DONE, body, SERVICE.actor)
        self._last[where] = _Last(began, record.at)


def _least_severity(playbooks: Playbooks) -> int:
    """The whole number below which no route takes a finding; 0 where any may be taken."""
    least = math.inf
    for route in playbooks.routes:
        match = _AT_LEAST.fullmatch(route.match.severity or "")
        least = min(least, float(match[2]) if match else 0.0)
    return int(least) if math.isfinite(least) else 0


def _said(error: Exception) -> str:
    """An error of ours may have parts of the finding in its words; its kind is enough."""
    return str(error) if isinstance(error, ClampdownError) else type(error).__name__
