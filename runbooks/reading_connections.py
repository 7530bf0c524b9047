"""Connections over which nothing can be changed, whatever is asked for."""

from __future__ import annotations

from typing import Any

from runbooks.connections import Connections
from runbooks.errors import Refused

# How the names of AWS's reading operations begin. The role of an account is still to be entered.
_READS = ("Describe", "Get", "List", "Lookup", "Search", "BatchGet", "Simulate")
_ENTERS = frozenset({"AssumeRole"})


class ReadOnly(Refused):
    """A changing call was asked for where only reads are sent."""


class ReadingConnections(Connections):
    """Connections whose clients refuse, before anything is signed or sent, all but reads.

    Steps in plan mode send none anyway; this holds for what is not a step, and for mistakes. Their
    clients are never shared with those of incidents.
    """

    def _new_client(self, *arguments: Any, **named: Any) -> Any:
        client = super()._new_client(*arguments, **named)
        client.meta.events.register_first("before-call", _refuse_changes)
        return client


def _refuse_changes(model: Any, **_: Any) -> None:
    if model.name.startswith(_READS) or model.name in _ENTERS:
        return
    raise ReadOnly(
        f"{model.service_model.service_name}:{model.name} was not sent: in shadow only reads are."
    )
