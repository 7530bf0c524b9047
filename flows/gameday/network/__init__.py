"""A small data plane: which flows would pass in an account, and which connections stay open."""

from flows.gameday.network.connections import Connection, Connections, Fate, NotConnected
from flows.gameday.network.model import Flow, Network
from flows.gameday.network.passing import Verdict, open_flow
from flows.gameday.network.reading import read_network

__all__ = [
    "Connection",
    "Connections",
    "Fate",
    "Flow",
    "Network",
    "NotConnected",
    "Verdict",
    "open_flow",
    "read_network",
]
