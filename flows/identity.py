"""Who somebody is, as a face has authenticated them; never as they say they are."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flows.journal.record import Actor


@dataclass(frozen=True)
class Identity:
    """A person as the operating system or Slack knows them, or Clampdown's own service.

    ``id`` is the local user's name, or Slack's user id with ``team`` the workspace's id. The
    flags, and the ids of the user groups that they are in, are Slack's, looked up when the decision
    is made.
    """

    kind: Literal["local", "slack", "service"]
    id: str
    team: str = ""
    bot: bool = False
    guest: bool = False
    stranger: bool = False
    deactivated: bool = False
    usergroups: tuple[str, ...] = ()

    @property
    def principal(self) -> str:
        """One name for one person: what votes are counted by."""
        return f"slack:{self.team}/{self.id}" if self.kind == "slack" else f"{self.kind}:{self.id}"

    @property
    def actor(self) -> Actor:
        if self.kind == "service":
            return Actor("service", self.principal, "serve")
        return Actor("person", self.principal, "cli" if self.kind == "local" else "slack")

    @property
    def objection(self) -> str:
        """Why this identity may decide nothing, whatever list it is on; empty if it may."""
        if self.kind == "service":
            return "it is a service"
        if self.bot:
            return "it is a bot"
        if self.deactivated:
            return "the account is deactivated"
        if self.stranger:
            return "it belongs to another organisation"
        return "it is a guest" if self.guest else ""


# What goes on with an incident when nobody has asked for it: after a restart.
SERVICE = Identity("service", "clampdown")


def local_identity() -> Identity:
    """The user who runs this process, by the operating system."""
    return _local(os.getuid())


def owner_of(path: Path) -> tuple[str, ...]:
    """The principal who owns a file, by the operating system; none where there is no such file."""
    try:
        return (_local(path.stat().st_uid).principal,)
    except OSError:
        return ()


def _local(uid: int) -> Identity:
    try:
        return Identity("local", pwd.getpwuid(uid).pw_name)
    except KeyError:
        return Identity("local", f"uid-{uid}")
