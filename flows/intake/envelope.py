"""What was around a finding: an event of EventBridge, which must not contradict it."""

from __future__ import annotations

from dataclasses import dataclass

from flows.intake.document import ABSENT, Node


@dataclass(frozen=True)
class Envelope:
    """What the event around a finding says; all of it is absent where there was none.

    ``source`` is the event's (``aws.guardduty``). ``custom_action`` is the name of the action of
    Security Hub with which a person sent the finding. ``layers`` counts what was taken off so far.
    """

    source: str | None = None
    account: Node = ABSENT
    region: Node = ABSENT
    time: Node = ABSENT
    resources: Node = ABSENT
    custom_action: str | None = None
    layers: int = 0

    def check_account(self, node: Node, account: str) -> None:
        """Refuse a finding, whose account stands at ``node``, of another account than the event."""
        said = self.account.text()
        if said is not None and said != account:
            raise node.rejected(
                f"the finding is of account {account}, the event around it of {said}; "
                "which one is meant can't be known"
            )

    def check_region(self, node: Node, region: str) -> None:
        """Refuse a finding, whose Region stands at ``node``, of another Region than the event."""
        said = self.region.text()
        if said is not None and said != region:
            raise node.rejected(f"the finding is of {region}, the event around it of {said}")
