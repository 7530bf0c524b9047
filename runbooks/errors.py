"""Every way in which a containment can be refused or fail, in the words that the person on call reads.

An error says what happened and to which resource, and what to do next; what was and was not done is
the journal's to tell (``clampdown status``), because only the journal knows.
"""

from __future__ import annotations

from typing import ClassVar


class ClampdownError(Exception):
    """Something foreseeable went wrong.

    ``exit_code`` is the command line's (ARCHITECTURE: 1 failed or needs a person, 2 invalid input,
    3 refused, 4 the journal fails verification).
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, advice: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.what} {self.advice}".strip()


class InvalidInput(ClampdownError):
    """An argument, a setting or a file is not what it must be. Nothing was done."""

    exit_code = 2


class UnknownTarget(InvalidInput):
    """The target does not exist, or not in this account and Region."""


class NotContainable(ClampdownError):
    """The target is in a state in which this containment makes no sense (terminated, no VPC…)."""


class NoCredentials(ClampdownError):
    """There are no AWS credentials, or they have expired, or the role can't be assumed."""


class AwsUnreachable(ClampdownError):
    """AWS gave no answer within the time allowed. Nothing was sent that could have had an effect."""


class AwsRefused(ClampdownError):
    """AWS answered with an error.

    ``code`` is AWS's own error code (``InvalidGroup.NotFound``).
    """

    def __init__(self, what: str, *, code: str, advice: str = "") -> None:
        super().__init__(what, advice=advice)
        self.code = code


class AccessDenied(AwsRefused):
    """The credentials may not make this call."""


class Throttled(AwsRefused):
    """AWS kept throttling the call for as long as it was retried."""


class OutcomeUnknown(ClampdownError):
    """A changing call was sent and no answer came: AWS may or may not have done it.

    It is never simply retried: the step runs again, reads the real state, and does what is missing.
    """


class NotContained(ClampdownError):
    """The step's calls were made, and AWS still shows the target as not contained."""


class PlanChanged(ClampdownError):
    """A call is not among those that were planned and approved."""


class Interrupted(ClampdownError):
    """Somebody asked to stop (Ctrl-C, ``clampdown abort``): no further call is begun."""


class Refused(ClampdownError):
    """Clampdown itself says no. Nothing was changed by the refused call."""

    exit_code = 3


class ProtectedResource(Refused):
    """The resource is on the protected list of playbooks.yaml."""


class BudgetExceeded(Refused):
    """More targets or changes than the guardrails of playbooks.yaml allow."""


class WrongAccount(Refused):
    """The credentials belong to another account than the target, or the account isn't listed."""


class ApprovalMissing(Refused):
    """A step stands behind a gate that nobody has approved for this plan."""


class ApprovalRefused(Refused):
    """A decision was not accepted: not on the allow-list, the requester's own, too late, decided."""


class Denied(Refused):
    """The gate was denied, or nobody decided in time."""


class SampleFinding(Refused):
    """GuardDuty's own sample findings never act on a live account."""


class Redirected(Refused):
    """A live run would be sent to another endpoint than AWS's, or a simulation to a real one."""


class InShadow(Refused):
    """It is only recorded what would have been done: nothing is opened or changed."""


class NotForDrills(Refused):
    """A live drill changes only what is tagged for drills, or belongs to what is."""


class Unrouted(Refused):
    """No route of playbooks.yaml says what to do with this finding."""
