"""AWS: whose credentials these are, and for each account whether it can be entered and is watched."""

from __future__ import annotations

from functools import partial

from flows.doctor import clock
from flows.doctor.check import Check, NotLooked, Result, Shared, ok, problem, some, warning
from flows.doctor.permissions import missing_actions
from flows.doctor.setup import Setup
from runbooks.aws import Reader
from runbooks.calls import Call
from runbooks.errors import AccessDenied, AwsRefused, ClampdownError, WrongAccount
from runbooks.playbook import Account

_GROUP = "AWS"
_NO_ENTRY = "The account can't be entered."
_NO_REGION = "playbooks.yaml gives no regions for it, and neither --region nor AWS_REGION is set."
_SLOW = "SIX_HOURS"
_EVERY = {"FIFTEEN_MINUTES": "15 minutes", "ONE_HOUR": "hour", _SLOW: "6 hours"}


def checks(setup: Setup) -> list[Check]:
    made = [
        Check(
            _GROUP,
            "credentials",
            lambda: _credentials(setup),
            meaning="Nothing can be looked at or contained.",
        ),
        clock.check(setup),
    ]
    for key, account in setup.playbooks.accounts.items():
        entry = Shared(partial(_enter, setup, key, account))
        name = f"{key} ({account.name})"
        made.append(
            Check(
                _GROUP,
                name,
                partial(_entered, account, entry),
                meaning="Nothing can be contained there.",
            )
        )
        made += [
            Check(
                _GROUP,
                f"{name}, GuardDuty in {region}",
                partial(_guardduty, setup, key, region, entry),
                meaning="Nothing is found there, or nobody hears of it.",
            )
            for region in setup.regions_of(account)
        ]
        made.append(
            Check(
                _GROUP,
                f"{name}, permissions",
                partial(_permissions, setup, key, account, entry),
                meaning="Containments there end halfway.",
            )
        )
    return made


def _credentials(setup: Setup) -> Result:
    introduction = setup.introduction()
    if introduction.error is not None:
        raise introduction.error
    assert introduction.caller is not None
    return ok(f"They are those of {introduction.caller.arn}.")


def _enter(setup: Setup, key: str, account: Account) -> str:
    """Enter the account as a containment does; gives whose credentials are then used."""
    setup.caller()
    regions = setup.regions_of(account)
    if not regions:
        raise NotLooked(_NO_REGION)
    answer = setup.in_account(key, regions[0]).read(Call("sts", "get_caller_identity"))
    if answer["Account"] != key:
        raise WrongAccount(
            f"The credentials used for it belong to account {answer['Account']}.",
            advice=f"Give it a `role` of account {key} in playbooks.yaml.",
        )
    return str(answer["Arn"])


def _entered(account: Account, entry: Shared[str]) -> Result:
    arn = entry()
    if account.role:
        return ok(f"Its role {account.role} can be assumed.")
    return ok(f"It is entered with the caller's own credentials ({arn}).")


def _guardduty(setup: Setup, key: str, region: str, entry: Shared[str]) -> Result:
    entry.needed(_NO_ENTRY)
    reader = setup.in_account(key, region)
    detectors = reader.read(Call("guardduty", "list_detectors"))["DetectorIds"]
    if not detectors:
        return problem(
            "GuardDuty has no detector.",
            advice="Turn GuardDuty on; if it was on, find out who deleted it (CloudTrail: "
            "DeleteDetector).",
        )
    try:
        detector = reader.read(Call("guardduty", "get_detector", DetectorId=detectors[0]))
    except AccessDenied as error:
        raise NotLooked(
            "It has a detector; guardduty:GetDetector, which would tell more, isn't allowed."
        ) from error
    if detector["Status"] != "ENABLED":
        return problem(
            "GuardDuty is switched off.",
            advice="Switch it on, and find out who did that (CloudTrail: UpdateDetector).",
        )
    frequency = str(detector.get("FindingPublishingFrequency") or _SLOW)
    said = f"It is on, and tells of known findings anew every {_EVERY.get(frequency, frequency)}"
    said += _suppressed(reader, detectors[0])
    if frequency == _SLOW:
        return warning(
            f"{said}.",
            meaning="That something goes on is heard hours later; new findings come at once.",
            advice="Set its publishing frequency to 15 minutes (in the administrator account).",
        )
    return ok(f"{said}.")


def _suppressed(reader: Reader, detector: str) -> str:
    """The rules by which findings are archived unseen: who wants to stay may have made one."""
    try:
        names = reader.read(Call("guardduty", "list_filters", DetectorId=detector))["FilterNames"]
        filters = [
            reader.read(Call("guardduty", "get_filter", DetectorId=detector, FilterName=name))
            for name in names
        ]
    except ClampdownError:
        return ""
    archiving = [str(each["Name"]) for each in filters if each.get("Action") == "ARCHIVE"]
    return f"; suppression rules keep findings away: {some(archiving)}" if archiving else ""


def _permissions(setup: Setup, key: str, account: Account, entry: Shared[str]) -> Result:
    arn = account.role or _principal(entry.needed(_NO_ENTRY))
    entry.needed(_NO_ENTRY)
    reader = setup.in_account(key, setup.regions_of(account)[0])
    try:
        missing = missing_actions(reader, arn, setup.playbooks)
    except AccessDenied as error:
        raise NotLooked("iam:SimulatePrincipalPolicy, which would tell, isn't allowed.") from error
    except AwsRefused as error:
        # A user or role that the simulator doesn't know, or an action that it doesn't know yet.
        raise NotLooked(f"IAM's policy simulator doesn't tell: {error.what}") from error
    if missing:
        return problem(
            f"{arn} may not make {len(missing)} of the calls that the playbooks need: "
            f"{some(missing)}.",
            advice="Give it the policy that `clampdown permissions` prints.",
        )
    return ok("The policy simulator allows all that the playbooks need.")


def _principal(arn: str) -> str:
    """The user or role behind an identity's ARN. A role's path is not in its sessions' ARNs."""
    if ":assumed-role/" not in arn:
        return arn
    _, partition, _, _, account, session = arn.split(":", 5)
    return f"arn:{partition}:iam::{account}:role/{session.split('/')[1]}"
