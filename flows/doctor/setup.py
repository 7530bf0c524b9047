"""The set-up that is looked at, and the connections through which it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from flows.doctor.check import NotLooked, Shared
from flows.journal.journal import Journal
from flows.serve.settings import ServeSettings
from flows.settings import Settings
from runbooks.aws import Reader, Where
from runbooks.calls import Call
from runbooks.connections import AccountAccess, Connections
from runbooks.errors import ClampdownError
from runbooks.playbook import Account, Playbooks

NO_CALLER = "There are no AWS credentials that work."
_SESSION = "clampdown-doctor"
# The caller's own credentials, whichever account they are of.
_OWN = ""
_PATIENCE = timedelta(seconds=2)
_ANY_REGION = "us-east-1"


@dataclass(frozen=True)
class Caller:
    """Whose credentials this process has."""

    account: str
    arn: str


@dataclass(frozen=True)
class Moment:
    """What AWS's clock showed (to the second) and what this machine's did, at the same time."""

    aws: datetime
    here: datetime


@dataclass(frozen=True)
class Introduction:
    """What came of asking AWS who this is: the caller, or the error because of which there is none."""

    caller: Caller | None
    error: ClampdownError | None
    moment: Moment | None


class Setup:
    """The settings and playbooks of one process, and what several checks ask for together.

    Each account has connections of its own: one that hangs keeps none of the others waiting.
    """

    def __init__(self, settings: Settings, serve: ServeSettings, playbooks: Playbooks) -> None:
        self.settings = settings
        self.serve = serve
        self.playbooks = playbooks
        self.journal = Shared(self._open_journal)
        self.introduction = Shared(self._introduce)
        self._own = Shared(self._connecting(_OWN, AccountAccess()))
        self._accounts = {
            key: Shared(self._connecting(key, AccountAccess(account.role, account.external_id)))
            for key, account in playbooks.accounts.items()
        }

    @property
    def simulate(self) -> str:
        return self.settings.simulate

    @property
    def region(self) -> str:
        """A Region to ask for what is the same in all of them."""
        accounts = self.playbooks.accounts.values()
        named = (region for account in accounts for region in account.regions)
        return self.settings.region or next(named, _ANY_REGION)

    def regions_of(self, account: Account) -> tuple[str, ...]:
        """The Regions in which an account is looked after."""
        own = (self.settings.region,) if self.settings.region else ()
        return account.regions or own

    def caller(self) -> Caller:
        """Raises NotLooked where there is none: that is said by the check of the credentials."""
        caller = self.introduction.needed(NO_CALLER).caller
        if caller is None:
            raise NotLooked(NO_CALLER)
        return caller

    def as_caller(self, region: str) -> Reader:
        """Reads with the caller's own credentials. Raises Redirected."""
        return Reader(self._own(), Where(_OWN, region), patience=_PATIENCE)

    def in_account(self, account: str, region: str) -> Reader:
        """Reads in an account of playbooks.yaml, which is entered as a containment enters it.

        Raises Redirected.
        """
        return Reader(self._accounts[account](), Where(account, region), patience=_PATIENCE)

    def _connecting(self, account: str, access: AccountAccess) -> Callable[[], Connections]:
        return lambda: Connections(
            {account: access}, session_name=_SESSION, simulate=self.simulate or None
        )

    def _introduce(self) -> Introduction:
        try:
            answer = self.as_caller(self.region).read(Call("sts", "get_caller_identity"))
        except ClampdownError as error:
            # A clock that is wrong is why AWS refuses, and its refusal says what time it is.
            return Introduction(None, error, _moment(getattr(error.__cause__, "response", None)))
        return Introduction(Caller(answer["Account"], answer["Arn"]), None, _moment(answer))

    def _open_journal(self) -> Journal:
        url = self.settings.journal_url
        if (file := sqlite_file(url)) and not file.exists():
            raise NotLooked(f"There is no journal yet: the first incident makes {file}.")
        return Journal.open(url)


def sqlite_file(url: str) -> Path | None:
    """The file of a journal in SQLite; None for any other, and for what is no URL."""
    try:
        parsed = sa.engine.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        return None
    in_file = parsed.get_backend_name() == "sqlite" and parsed.database
    return Path(parsed.database or "") if in_file else None


def _moment(answer: Any) -> Moment | None:
    headers = ((answer or {}).get("ResponseMetadata") or {}).get("HTTPHeaders") or {}
    try:
        return Moment(parsedate_to_datetime(headers["date"]), _now())
    except (KeyError, TypeError, ValueError):
        return None


def _now() -> datetime:
    return datetime.now(UTC)
