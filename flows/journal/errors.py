"""What can go wrong with the journal, for the person on call."""

from __future__ import annotations

from runbooks.errors import ClampdownError, InvalidInput, Refused


class JournalUnavailable(ClampdownError):
    """The journal can't be opened, read or written. Without it nothing is changed in AWS."""


class JournalNewer(InvalidInput):
    """The journal was written by a newer Clampdown than this."""


class IncidentHeld(Refused):
    """Another process is carrying this incident out."""

    exit_code = 1

    @classmethod
    def by(cls, incident: str, holder: str, more: str = "") -> IncidentHeld:
        """The refusal that names the holder, and says ``more`` about it."""
        return cls(
            f"{incident} is being carried out by {holder}{more}.",
            advice=f"`clampdown timeline {incident}` shows how far it is.",
        )


class SecretInRecord(ClampdownError):
    """A record would have held a secret; it was not written."""


class HeadMoved(ClampdownError):
    """Somebody else appended first; what was to be appended must be thought over."""


class JournalTampered(ClampdownError):
    """Somebody has changed what was written."""

    exit_code = 4
