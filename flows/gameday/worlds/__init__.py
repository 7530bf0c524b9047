"""Worlds: accounts described in YAML, built in the simulated AWS, and read back from any AWS."""

from flows.gameday.worlds.account import AccountWorld, parse_account
from flows.gameday.worlds.export import Exported, export
from flows.gameday.worlds.state import state
from flows.gameday.worlds.world import (
    ACCOUNT,
    World,
    WorldIds,
    build,
    client,
    load_world,
    read_world,
)

__all__ = [
    "ACCOUNT",
    "AccountWorld",
    "Exported",
    "World",
    "WorldIds",
    "build",
    "client",
    "export",
    "load_world",
    "parse_account",
    "read_world",
    "state",
]
