"""What a scenario's file must mean: everything that it names is there, and in time."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flows.gameday.scenario import (
    Condition,
    ConnectionInject,
    Event,
    FindingInject,
    Objective,
    PersonInject,
    Scenario,
)
from flows.gameday.worlds import AccountWorld, World
from flows.gameday.worlds.names import Names, names_in
from runbooks.step import write_duration
from runbooks.yaml_problems import ProblemsOf, texts_in
from runbooks.yaml_source import Where

# In a finding's `resource`, ids are written by the names of the world.
_PLACES = re.compile(r"\$\{([^}]*)\}")
_INSTANCES = ("instance",)
_ANYTHING = ("instance", "end", "group", "other")
OF: dict[Condition, tuple[str, ...]] = {
    "isolated": _INSTANCES,
    "contained": _INSTANCES,
    "in_service": ("instance", "group"),
    "untouched": _ANYTHING,
    "evidence": _INSTANCES,
    "credentials_denied": _INSTANCES,
    "cut": ("connection",),
    "alive": ("connection",),
    "not_opened": ("finding",),
    "proposed": ("finding",),
    "refused": ("finding", "person"),
    "undone": _INSTANCES,
    "journal_verifies": (),
}
"""Of what a condition can hold: what ``of`` names."""

_IN_WORDS = {
    "instance": "instance of the world",
    "end": "interface of the world",
    "group": "Auto Scaling group of the world",
    "other": "thing of the world",
    "connection": "connection in the timeline",
    "finding": "finding in the timeline",
    "person": "person of `people`",
}


def check_meaning(
    scenario: Scenario, world: World | AccountWorld | None, problems: ProblemsOf
) -> None:
    """Say what is wrong with a scenario's meaning. Of a ``world`` that can't be read, no names are
    checked."""
    check = _Meaning(scenario, problems, names_in(world) if world is not None else None)
    check.people()
    for number, event in enumerate(scenario.timeline):
        check.event(("timeline", number), event)
    for number, objective in enumerate(scenario.objectives):
        check.objective(("objectives", number), objective)
    if scenario.lasts <= timedelta():
        problems.at_value(("lasts",), "'lasts' must be longer than 0s")


@dataclass(frozen=True)
class _First:
    """Where in the file a finding is first, and when it is delivered."""

    path: Where
    finding: FindingInject
    at: timedelta


class _Meaning:
    def __init__(self, scenario: Scenario, problems: ProblemsOf, world: Names | None) -> None:
        self.scenario = scenario
        self.problems = problems
        self.world = world
        self.findings: dict[str, _First] = {}
        self.connections: dict[str, Where] = {}
        self.ids: dict[str, Where] = {}

    def people(self) -> None:
        for name, person in self.scenario.people.items():
            for key in ("notices", "decides"):
                reaction = getattr(person, key)
                if reaction.at_most is not None and reaction.at_most < reaction.after:
                    self.problems.at_value(
                        ("people", name, key, "at_most"),
                        f"'at_most' is less than the median `after` "
                        f"({write_duration(reaction.after)})",
                    )

    def event(self, path: Where, event: Event) -> None:
        lasts = self.scenario.lasts
        if event.at > lasts:
            self.problems.at_value(
                (*path, "at"), f"'at' is later than the scenario lasts ({write_duration(lasts)})"
            )
        if event.finding:
            self._finding((*path, "finding"), event.finding, event.at)
        if event.attacker:
            self._named((*path, "attacker", "to"), event.attacker.to, _INSTANCES)
        if event.connection:
            self._connection((*path, "connection"), event.connection)
        if event.person:
            self._person((*path, "person"), event.person)
        if event.dies and event.at + event.dies.back_after > lasts:
            self.problems.at_value(
                (*path, "dies", "back_after"),
                f"the orchestrator would be back after the scenario is over "
                f"({write_duration(lasts)})",
            )

    def _finding(self, path: Where, finding: FindingInject, at: timedelta) -> None:
        if finding.on:
            self._named((*path, "on"), finding.on, _INSTANCES)
        for where, text in texts_in((*path, "resource"), finding.resource):
            for name in _PLACES.findall(text):
                self._named(where, name, _ANYTHING)
        if not _is_address(finding.remote):
            text = f"{finding.remote[:80]!r} is no IP address"
            self.problems.at_value((*path, "remote"), text)
        first = self.findings.get(finding.id)
        if first is None:
            self.findings[finding.id] = _First(path, finding, at)
            return
        for key in ("type", "on", "resource"):
            if getattr(finding, key) != getattr(first.finding, key):
                line = self.problems.source.position(first.path).line
                self.problems.at_value(
                    (*path, key),
                    f"a second finding {finding.id!r} is an update of that on line {line}, of which "
                    f"`{key}` is another; give this one an `id` of its own",
                )

    def _connection(self, path: Where, connection: ConnectionInject) -> None:
        for key, other in (("source", "from"), ("destination", "to")):
            end = getattr(connection, key)
            if not _is_address(end):
                where = (*path, key if (*path, key) in self.problems.source.keys else other)
                self._named(where, end, ("instance", "end"), "; or give an IP address")
        self._claim((*path, "id"), connection.id, self.connections)

    def _person(self, path: Where, act: PersonInject) -> None:
        self._named((*path, "who"), act.who, ("person",))
        if act.does == "start" and not act.target:
            self.problems.add(path, "whoever starts a playbook gives its `target`")
        if act.target:
            self._named((*path, "target"), act.target, _INSTANCES)

    def objective(self, path: Where, objective: Objective) -> None:
        self._claim((*path, "id"), objective.id, self.ids)
        if objective.until:
            self._in_time(path, objective)
        if not objective.holds:
            if objective.of:
                self.problems.add((*path, "of"), "'of' belongs to `holds`; `until` has `finding`")
            return
        kinds = OF[objective.holds]
        if kinds and not objective.of:
            text = f"'of' is missing: of which {_in_words(kinds)} does it hold?"
            self.problems.add(path, text)
        elif objective.of and not kinds:
            self.problems.add((*path, "of"), f"{objective.holds!r} is of the whole; leave `of` out")
        for number, name in enumerate(objective.of if kinds else ()):
            self._named((*path, "of", number), name, kinds)

    def _in_time(self, path: Where, objective: Objective) -> None:
        first = self.findings.get(objective.finding)
        if first is None:
            # One that is left out is called `finding`: then it is the whole objective's fault.
            where = (*path, "finding")
            self._named(where, objective.finding, ("finding",))
        elif objective.within and first.at + objective.within > self.scenario.lasts:
            self.problems.at_value(
                (*path, "within"),
                f"the scenario is over before that ({write_duration(self.scenario.lasts)}, and the "
                f"finding comes at {write_duration(first.at)})",
            )

    def _named(self, path: Where, name: str, kinds: Iterable[str], advice: str = "") -> None:
        """That there is something of that name, of one of the kinds."""
        kinds = tuple(kinds)
        known = [item for kind in kinds for item in self._known(kind)]
        of_world = {*_ANYTHING} & set(kinds)
        if name in known or (of_world and self.world is None):
            return
        what = "thing of the world" if "other" in kinds else _in_words(kinds)
        said = self.problems.suggest(name, known) or advice
        self.problems.at_value(path, f"there is no {what} {name[:80]!r}{said}")

    def _known(self, kind: str) -> Iterable[str]:
        match kind:
            case "finding":
                return self.findings
            case "connection":
                return self.connections
            case "person":
                return self.scenario.people
        named: Any = self.world
        if named is None:
            return ()
        return tuple(getattr(named, f"{kind}s"))

    def _claim(self, path: Where, identity: str, ids: dict[str, Where]) -> None:
        if identity in ids:
            line = self.problems.source.position(ids[identity]).line
            self.problems.at_value(path, f"the id {identity!r} is taken (line {line})")
        ids.setdefault(identity, path)


def _in_words(kinds: Iterable[str]) -> str:
    return " or ".join(_IN_WORDS[kind] for kind in kinds)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
