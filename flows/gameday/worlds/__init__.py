"""Worlds: small accounts described in YAML, built in the simulated AWS."""

from flows.gameday.worlds.state import state
from flows.gameday.worlds.world import ACCOUNT, World, WorldIds, build, client, load_world

__all__ = ["ACCOUNT", "World", "WorldIds", "build", "client", "load_world", "state"]
