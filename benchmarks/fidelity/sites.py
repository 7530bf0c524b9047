"""Where the checks run: the simulated AWS here; :mod:`benchmarks.fidelity.plain` has the other."""

from __future__ import annotations

from typing import Protocol

from benchmarks.fidelity.account import Account, Ids, build
from flows.gameday.aws.memory import Memory
from flows.gameday.aws.server import SimulatedAws


class Site(Protocol):
    """A server that gives the account as it was built, as often as asked."""

    def fresh(self) -> Account: ...


class Ours:
    """The simulated AWS. The account is built once and remembered."""

    def __init__(self, aws: SimulatedAws) -> None:
        self._aws = aws
        self._built: tuple[Memory, Ids] | None = None

    def fresh(self) -> Account:
        if self._built is None:
            self._aws.reset()
            ids = build(self._aws.url)
            self._built = self._aws.remember(), ids
        memory, ids = self._built
        self._aws.recall(memory)
        return Account(self._aws.url, ids, self._aws.configure, self._enforce)

    def _enforce(self) -> None:
        self._aws.configure(enforce_iam=True)
