"""Going on with what nobody carries out: after a restart, a crash elsewhere, or a lost hand-over."""

from __future__ import annotations

from datetime import timedelta

from flows.conductor import Conductor, urgency_of

LOOK_EVERY = timedelta(seconds=5)


class Watch:
    """Looks for incidents that were begun and that no process is at.

    ``untouched_for`` is how long whoever has begun them has to go on by themselves. The rights to
    incidents decide who gets one that several processes see.
    """

    def __init__(self, conductor: Conductor, untouched_for: timedelta = LOOK_EVERY) -> None:
        self._conductor = conductor
        self._untouched_for = untouched_for

    def look(self) -> list[str]:
        """Go on with what is nobody's; returns the incidents' ids, the most urgent first."""
        found = self._conductor.unfinished(untouched_for=self._untouched_for)
        found.sort(key=urgency_of, reverse=True)
        for incident in found:
            self._conductor.go_on_with(incident.id, urgency_of(incident))
        return [incident.id for incident in found]
