"""What somebody typed after ``/clampdown``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from runbooks.errors import InvalidInput

USAGE = """\
/clampdown  (a form)
/clampdown contain i-0123456789abcdef0 [PLAYBOOK] [simulate] [because REASON]
/clampdown status [INCIDENT]
/clampdown incidents
/clampdown undo INCIDENT [STEP]
/clampdown resume-automatic REASON
/clampdown drill
/clampdown gameday [list | run SCENARIO | report [DRILL]]
/clampdown gameday schedule [SCENARIO 0 10 * * TUE [Europe/Berlin]]
/clampdown gameday unschedule SCENARIO
/clampdown help"""

_LONGEST = 2_000
_INCIDENT = re.compile(r"inc-\d{8}-[0-9a-f]{6}", re.ASCII)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", re.ASCII)
_INSTANCE = re.compile(r"i-[0-9a-f]{8,17}|arn:aws[a-z-]*:ec2:[^\s]{1,200}", re.ASCII)
# Phones put typographic quotes and dashes in, and whoever pastes an id pastes its code span.
_AROUND = "`'\"“”‘’<>,"
_SIMULATE = {"simulate", "simulated", "--simulate", "—simulate", "–simulate"}
# All that follows is the reason, with or without a word that says so.
_LIFT = re.compile(
    r"\s*resume-automatic(?!\S)\s*(?:(?:because|(?:--|—|–)(?:why|reason))(?!\S))?", re.IGNORECASE
)
_BECAUSE = re.compile(r"(?:^|\s)(?:because|why:?|--reason|—reason|–reason)\s+", re.IGNORECASE)


@dataclass(frozen=True)
class OpenForm:
    """Nothing was typed: a form asks for everything."""


@dataclass(frozen=True)
class Contain:
    """Contain an instance. ``playbook`` is empty where it was not said."""

    target: str
    playbook: str = ""
    reason: str = ""
    simulate: bool = False


@dataclass(frozen=True)
class ShowStatus:
    """How an incident stands; the newest one where ``incident`` is empty."""

    incident: str = ""


@dataclass(frozen=True)
class ListIncidents:
    """Which incidents there are."""


@dataclass(frozen=True)
class UndoIncident:
    """Take back what an incident changed, or what one of its steps did."""

    incident: str
    step: str = ""


@dataclass(frozen=True)
class LiftFreeze:
    """Let incidents start automatically again."""

    why: str


@dataclass(frozen=True)
class Drill:
    """Rehearse a containment in a simulated AWS."""


@dataclass(frozen=True)
class GameDay:
    """Play a scenario, or see which there are, or how a drill went (the newest one where ``name``
    is empty); have one played again and again, by a ``cron`` in a ``timezone``, or no more."""

    does: Literal["list", "run", "report", "schedule", "unschedule"] = "list"
    name: str = ""
    cron: str = ""
    timezone: str = "UTC"


@dataclass(frozen=True)
class Help:
    """What there is to type."""


Command = (
    OpenForm
    | Contain
    | ShowStatus
    | ListIncidents
    | UndoIncident
    | LiftFreeze
    | Drill
    | GameDay
    | Help
)


def parse(text: str) -> Command:
    """Read the text of a slash command. Raises InvalidInput, with what can be typed."""
    if len(text) > _LONGEST:
        raise _unusable("That is too long.")
    if lifting := _LIFT.match(text):
        return _lift(text[lifting.end() :].strip())
    before, *reason = _BECAUSE.split(text.strip(), maxsplit=1)
    words = [word for raw in before.split() if (word := raw.strip(_AROUND))]
    if not words:
        if reason:
            raise _unusable("There is a reason, and nothing to do.")
        return OpenForm()
    verb, rest = words[0].lower(), words[1:]
    if reason and verb != "contain":
        raise _unusable(f"{verb[:40]!r} takes no reason.")
    match verb:
        case "contain":
            return _contain(rest, " ".join(reason).strip())
        case "status":
            _at_most(verb, rest, 1)
            return ShowStatus(_incident(rest[0]) if rest else "")
        case "undo":
            _at_most(verb, rest, 2)
            if not rest:
                raise _unusable("Of which incident?")
            return UndoIncident(_incident(rest[0]), _name(rest[1], "step") if rest[1:] else "")
        case "gameday":
            return _game_day(rest)
        case "incidents" | "drill" | "help":
            _at_most(verb, rest, 0)
            plain: dict[str, Command] = {
                "incidents": ListIncidents(),
                "drill": Drill(),
                "help": Help(),
            }
            return plain[verb]
    raise _unusable(f"There is no command {verb[:40]!r}.")


def _lift(why: str) -> LiftFreeze:
    if not why:
        raise _unusable("Lifting the freeze needs a reason.")
    return LiftFreeze(why)


def _contain(words: list[str], reason: str) -> Contain:
    simulate = any(word.lower() in _SIMULATE for word in words)
    words = [word for word in words if word.lower() not in _SIMULATE]
    if not words:
        raise _unusable("Contain which instance?")
    if not _INSTANCE.fullmatch(words[0]):
        raise _unusable(f"{words[0][:80]!r} is neither an instance id nor an instance's ARN.")
    # One at a time: a slip of the thumb must not contain a second one.
    _at_most("contain", words, 2)
    playbook = _name(words[1], "playbook") if words[1:] else ""
    return Contain(words[0], playbook, reason, simulate)


def _game_day(words: list[str]) -> GameDay:
    match [words[0].lower(), *words[1:]] if words else ["list"]:
        case ["list"]:
            return GameDay()
        case ["run", scenario]:
            return GameDay("run", _name(scenario, "scenario"))
        case ["report"]:
            return GameDay("report")
        case ["report", drill]:
            return GameDay("report", _name(drill, "drill"))
        case ["schedule"]:
            return GameDay("schedule")
        case ["schedule", scenario, minute, hour, day, month, weekday, *zone] if len(zone) < 2:
            cron = " ".join((minute, hour, day, month, weekday))
            return GameDay("schedule", _name(scenario, "scenario"), cron, *zone)
        case ["unschedule", scenario]:
            return GameDay("unschedule", _name(scenario, "scenario"))
    raise _unusable("A game day is listed, run by its scenario's name, reported, or scheduled.")


def _incident(word: str) -> str:
    if not _INCIDENT.fullmatch(word):
        raise _unusable(f"{word[:80]!r} is no incident's id; they look like inc-20261123-7f3a9c.")
    return word


def _name(word: str, what: str) -> str:
    if not _NAME.fullmatch(word):
        raise _unusable(f"{word[:80]!r} is no {what}'s name.")
    return word


def _at_most(verb: str, words: list[str], most: int) -> None:
    if len(words) > most:
        raise _unusable(f"Too many words after {verb}: {' '.join(words[most:])[:80]!r}.")


def _unusable(what: str) -> InvalidInput:
    return InvalidInput(f"{what} Nothing was done.", advice=f"There is:\n{USAGE}")
