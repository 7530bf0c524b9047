"""Temporary credentials: sessions of roles and users, and those that an instance is given.

AWS STS API reference, AssumeRole and GetSessionToken; EC2 User Guide, "Retrieve security
credentials from instance metadata".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from flows.gameday.aws import operations, simulated_time
from flows.gameday.aws.authorization.conditions import MalformedPolicy
from flows.gameday.aws.authorization.policy import read_policy

# AssumeRole, DurationSeconds: "from 900 seconds (15 minutes) up to the maximum session duration set
# for the role"; "role chaining limits your … session to a maximum of one hour".
SHORTEST = timedelta(minutes=15)
DEFAULT = LONGEST_OF_A_CHAIN = timedelta(hours=1)
# GetSessionToken, DurationSeconds: "from 900 seconds … to 129,600 seconds (36 hours), with 43,200
# seconds (12 hours) as the default".
DEFAULT_OF_A_USER, LONGEST_OF_A_USER = timedelta(hours=12), timedelta(hours=36)
# An instance's credentials live for six hours; "we make new credentials available at least five
# minutes before the expiration of the old credentials".
LIFE_ON_AN_INSTANCE, RENEWED_BEFORE = timedelta(hours=6), timedelta(minutes=5)
_POLICIES_OF_A_SESSION = 10

_SESSIONS = "sessions_by_access_key"
_SERVED = "served_credentials"


class NoInstanceCredentials(ValueError):
    """The instance's metadata service gives no credentials, and why."""


@dataclass(frozen=True)
class Session:
    """A session, as it was begun.

    ``role`` is the ARN of the role and ``role_id`` its id; both are empty for a user's session,
    which has ``user``, and is ``federated`` where it may only do what its own policy says, too.
    ``policy`` and ``policy_arns`` narrow what it may. ``tags`` are those of the session; of them
    ``transitive`` go on to the sessions that begin from it. ``instance`` is the ARN of the instance
    to which it was given. ``context`` holds condition keys of its own.
    """

    access_key: str
    secret: str = field(repr=False)
    token: str = field(repr=False)
    account: str
    name: str
    issued: datetime
    expires: datetime
    role: str = ""
    role_id: str = ""
    user: str = ""
    federated: bool = False
    policy: str | None = None
    policy_arns: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    transitive: frozenset[str] = frozenset()
    source_identity: str = ""
    mfa: bool = False
    instance: str = ""
    context: Mapping[str, str] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        if self.federated:
            return f"arn:aws:sts::{self.account}:federated-user/{self.name}"
        name = self.role.rpartition("/")[2]
        return f"arn:aws:sts::{self.account}:assumed-role/{name}/{self.name}"

    @property
    def served(self) -> dict[str, str]:
        """The session as an instance's metadata service gives it out."""
        return {
            "Code": "Success",
            "Type": "AWS-HMAC",
            "LastUpdated": self.issued.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "AccessKeyId": self.access_key,
            "SecretAccessKey": self.secret,
            "Token": self.token,
            "Expiration": self.expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


@dataclass(frozen=True)
class _Begun:
    """What an AssumeRole asks for beyond what moto knows."""

    policy_arns: tuple[str, ...]
    tags: Mapping[str, str]
    transitive: frozenset[str]
    source_identity: str


def correct() -> None:
    """Have STS keep what its sessions were begun with, and refuse what it refuses of them."""
    _assume_role()
    _user_sessions()
    _messages()


def correct_instances() -> None:
    """Have an instance that is started again get new credentials."""
    from moto.ec2.models.instances import Instance

    stop = Instance.stop

    def stopped(self: Any) -> Any:
        self.__dict__.pop(_SERVED, None)
        return stop(self)

    Instance.stop = stopped


def _messages() -> None:
    from moto.sts.responses import TokenResponse

    def decode(response: Any, asked: Mapping[str, Any]) -> None:
        # What is refused here says in plain words why, and comes with no encoded message.
        raise operations.error(
            "InvalidAuthorizationMessageException", "The authorization message is not valid."
        )

    operations.add(TokenResponse, {"DecodeAuthorizationMessage": decode})


def find(access_key: str, account: str) -> Session | None:
    """The session of an access key, expired or not."""
    return _sessions(account).get(access_key)


def was_issued(access_key: str, account: str) -> bool:
    """Whether IAM or STS ever gave this access key out in the account, deleted or not."""
    from moto.iam.models import iam_backends

    iam = iam_backends[account]["aws"]
    return access_key in iam.access_keys or access_key in iam.__dict__.get("issued_keys", ())


def account_of(access_key: str) -> str | None:
    """The account in which the access key was ever given out; None for an invented one."""
    from moto.iam.models import iam_backends

    for account in list(iam_backends):
        if was_issued(access_key, account):
            return str(account)
    return None


def _sessions(account: str) -> dict[str, Session]:
    from moto.sts.models import sts_backends

    known: dict[str, Session] = sts_backends[account]["aws"].__dict__.setdefault(_SESSIONS, {})
    return known


def correct_keys() -> None:
    """Have IAM remember keys that were deleted: they are no longer anybody's."""
    from moto.iam.models import IAMBackend

    def remembering(make: Any) -> Any:
        def made(self: Any, *args: Any, **named: Any) -> Any:
            key = make(self, *args, **named)
            self.__dict__.setdefault("issued_keys", set()).add(key.access_key_id)
            return key

        return made

    IAMBackend.create_access_key = remembering(IAMBackend.create_access_key)
    IAMBackend.create_temp_access_key = remembering(IAMBackend.create_temp_access_key)


def _error(code: str, message: str) -> Exception:
    from moto.sts.exceptions import STSClientError

    error: Exception = STSClientError(code, message)
    return error


def _assume_role() -> None:
    from moto.sts.models import STSBackend
    from moto.sts.responses import TokenResponse

    answer, assume = TokenResponse.assume_role, STSBackend.assume_role

    def assume_role(self: Any) -> Any:
        caller = find(self.get_access_key(), self.current_account)
        begun = _begun(self, caller)
        _check_policy(self._get_param("Policy"))
        _check_duration(self._get_param("RoleArn"), self._get_int_param("DurationSeconds"), caller)
        self.backend.__dict__["beginning"] = begun
        try:
            result = answer(self)
        finally:
            del self.backend.__dict__["beginning"]
        if begun.source_identity:
            result.result["SourceIdentity"] = begun.source_identity
        return result

    def assumed(self: Any, **asked: Any) -> Any:
        made = assume(self, **asked)
        begun = self.__dict__.get("beginning") or _Begun((), {}, frozenset(), "")
        role = _role(made.role_arn)
        _keep(
            made,
            role=made.role_arn,
            role_id=role.id if role is not None else made.user_id.partition(":")[0],
            policy=made.policy,
            policy_arns=begun.policy_arns,
            tags=begun.tags,
            transitive=begun.transitive,
            source_identity=begun.source_identity,
        )
        return made

    TokenResponse.assume_role = assume_role
    STSBackend.assume_role = assumed


def _keep(made: Any, *, seconds: float | None = None, **facts: Any) -> Session:
    """The session behind what moto calls an assumed role, kept by its access key."""
    issued = simulated_time.now()
    session = Session(
        access_key=made.access_key_id,
        secret=made.secret_access_key,
        token=made.session_token,
        account=made.account_id,
        name=made.session_name,
        # "aws:TokenIssueTime" is in whole seconds, as tokens are.
        issued=issued.replace(microsecond=0),
        expires=made.expiration.replace(tzinfo=UTC),
        **facts,
    )
    _sessions(made.account_id)[session.access_key] = session
    return session


def _begun(response: Any, caller: Session | None) -> _Begun:
    tags = {tag["Key"]: tag["Value"] for tag in response._get_param("Tags", []) or []}
    arns = tuple(item["arn"] for item in response._get_param("PolicyArns", []) or [])
    if len(arns) > _POLICIES_OF_A_SESSION:
        raise _error("ValidationError", f"A session can have {_POLICIES_OF_A_SESSION} policies.")
    inherited = {key: caller.tags[key] for key in caller.transitive} if caller else {}
    overridden = sorted(set(inherited) & set(tags))
    if overridden:
        # What is inherited can't be overridden (IAM User Guide, "Chain roles with session tags").
        raise _error(
            "InvalidParameterValue",
            f"One of the specified transitive tag keys can't be set: {', '.join(overridden)}",
        )
    wanted = response._get_param("SourceIdentity") or ""
    kept = caller.source_identity if caller else ""
    return _Begun(
        arns,
        {**inherited, **tags},
        frozenset(inherited) | frozenset(response._get_param("TransitiveTagKeys", []) or []),
        kept or wanted,
    )


def _check_policy(policy: str | None) -> None:
    if policy is None:
        return
    try:
        read_policy(policy)
    except MalformedPolicy as error:
        raise _error("MalformedPolicyDocument", str(error)) from None


def _check_duration(role_arn: str, seconds: int | None, caller: Session | None) -> None:
    if seconds is None:
        return
    asked, role = timedelta(seconds=seconds), _role(role_arn)
    if asked < SHORTEST:
        raise _error("ValidationError", _too_short(seconds))
    if caller is not None and caller.role and asked > LONGEST_OF_A_CHAIN:
        raise _error(
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by "
            "role chaining",
        )
    if role is None:
        return
    longest = timedelta(seconds=int(role.max_session_duration or DEFAULT.total_seconds()))
    if asked > longest:
        raise _error(
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        )


def _too_short(seconds: int) -> str:
    return (
        f"1 validation error detected: Value '{seconds}' at 'durationSeconds' failed to satisfy "
        "constraint: Member must have value greater than or equal to 900"
    )


def _role(arn: str) -> Any:
    from moto.iam.exceptions import NotFoundException
    from moto.iam.models import iam_backends

    try:
        return iam_backends[arn.split(":")[4]]["aws"].get_role_by_arn(arn)
    except (IndexError, NotFoundException):
        return None


def _user_sessions() -> None:
    from moto.core.responses import ActionResult
    from moto.iam.models import iam_backends
    from moto.sts.models import STSBackend
    from moto.sts.responses import TokenResponse

    session_token, federation_token = (
        TokenResponse.get_session_token,
        TokenResponse.get_federation_token,
    )
    identity = STSBackend.get_caller_identity

    def begin(response: Any, name: str, **facts: Any) -> _Temporary | None:
        """A session of the user who asks; None for whom IAM doesn't know."""
        iam = iam_backends[response.current_account]["aws"]
        user = iam.get_user_from_access_key_id(response.get_access_key())
        if user is None:
            return None
        seconds = response._get_int_param("DurationSeconds", int(DEFAULT_OF_A_USER.total_seconds()))
        if not SHORTEST <= timedelta(seconds=seconds) <= LONGEST_OF_A_USER:
            raise _error("ValidationError", _too_short(seconds))
        made = _temporary(response.current_account, name or user.name, seconds)
        _keep(made, user=user.name, **facts)
        return made

    def get_session_token(self: Any) -> Any:
        made = begin(self, "", mfa=bool(self._get_param("TokenCode")))
        return ActionResult({"Credentials": made}) if made else session_token(self)

    def get_federation_token(self: Any) -> Any:
        answer = federation_token(self)
        policy, arns = self._get_param("Policy"), self._get_param("PolicyArns", []) or []
        _check_policy(policy)
        made = begin(
            self,
            self._get_param("Name"),
            federated=True,
            policy=policy,
            policy_arns=tuple(item["arn"] for item in arns),
        )
        if made:
            answer.result["Credentials"] = made
        return answer

    def get_caller_identity(self: Any, access_key_id: str, region: str) -> Any:
        session = find(access_key_id, self.account_id)
        if session is None or session.role:
            return identity(self, access_key_id, region)
        if session.federated:
            return f"{self.account_id}:{session.name}", session.arn, self.account_id
        user = iam_backends[self.account_id]["aws"].get_user(session.user)
        return user.id, user.arn, self.account_id

    TokenResponse.get_session_token = get_session_token
    TokenResponse.get_federation_token = get_federation_token
    STSBackend.get_caller_identity = get_caller_identity


@dataclass
class _Temporary:
    """What STS gives out, under moto's names."""

    account_id: str
    session_name: str
    access_key_id: str
    secret_access_key: str
    session_token: str
    expiration: datetime


def _temporary(account: str, name: str, seconds: float) -> _Temporary:
    from moto.iam.models import iam_backends
    from moto.sts.utils import random_session_token

    key = iam_backends[account]["aws"].create_temp_access_key()
    return _Temporary(
        account,
        name,
        key.access_key_id,
        key.secret_access_key,
        random_session_token(),
        simulated_time.now() + timedelta(seconds=seconds),
    )


# Instances


def for_instance(instance_id: str) -> Session:
    """The credentials that the instance's metadata service gives out now.

    It gives out the same ones until shortly before they expire, whatever was done to the role or
    the profile meanwhile; only another profile, or a stop and a start, brings others. What it gave
    out stays valid until it expires.

    Raises NoInstanceCredentials: there is no such instance, it doesn't run, its metadata service
    is off, or it has no profile with a role.
    """
    account, region, instance = _instance(instance_id)
    if instance.state != "running":
        raise NoInstanceCredentials(f"{instance_id} is {instance.state}: nothing runs on it.")
    if instance.metadata_options.http_endpoint == "disabled":
        raise NoInstanceCredentials(f"The metadata service of {instance_id} is disabled.")
    profile = _profile(account, region, instance)
    if profile is None:
        raise NoInstanceCredentials(f"{instance_id} has no instance profile.")
    association, roles = profile
    now = simulated_time.now()
    served = instance.__dict__.get(_SERVED)
    if served is not None and served[0] == association:
        session = _sessions(account).get(served[1])
        if session is not None and session.expires - now > RENEWED_BEFORE:
            return session
    if not roles:
        raise NoInstanceCredentials(f"The instance profile of {instance_id} has no role.")
    session = _give(account, region, instance, roles[0])
    instance.__dict__[_SERVED] = (association, session.access_key)
    return session


def _give(account: str, region: str, instance: Any, role: Any) -> Session:
    from moto.sts.models import AssumedRole, sts_backends

    made = _temporary(account, instance.id, LIFE_ON_AN_INSTANCE.total_seconds())
    # moto tells by its own list who a caller is.
    known: Any = AssumedRole.__new__(AssumedRole)
    known.__dict__.update(
        made.__dict__, role_arn=role.arn, partition="aws", region_name=region, policy=None
    )
    sts_backends[account]["aws"].assumed_roles.append(known)
    # IAM User Guide, "AWS global condition context keys: properties of the role session", and
    # Service Authorization Reference, ec2:RoleDelivery ("1.0 for IMDSv1, 2.0 for IMDSv2").
    version = "2.0" if instance.metadata_options.http_tokens == "required" else "1.0"
    return _keep(
        made,
        role=role.arn,
        role_id=role.id,
        instance=f"arn:aws:ec2:{region}:{account}:instance/{instance.id}",
        context={
            "ec2:roledelivery": version,
            "aws:ec2instancesourcevpc": str(instance.vpc_id),
            "aws:ec2instancesourceprivateipv4": str(instance.private_ip),
        },
    )


def _instance(instance_id: str) -> tuple[str, str, Any]:
    from moto.ec2.models import ec2_backends

    for account, region, backend in ec2_backends.iter_backends():
        for reservation in backend.reservations.values():
            for instance in reservation.instances:
                if instance.id == instance_id:
                    return account, region, instance
    raise NoInstanceCredentials(f"There is no instance {instance_id}.")


def _profile(account: str, region: str, instance: Any) -> tuple[str, Sequence[Any]] | None:
    """The association of the instance's profile, and the roles that are in the profile."""
    from moto.ec2.models import ec2_backends
    from moto.iam.exceptions import NotFoundException
    from moto.iam.models import iam_backends

    associations = ec2_backends[account][region].iam_instance_profile_associations
    association = associations.get(instance.id)
    arn = association.iam_instance_profile.arn if association is not None else None
    arn = arn or (getattr(instance, "iam_instance_profile", None) or {}).get("Arn")
    if not arn:
        return None
    try:
        found = iam_backends[account]["aws"].get_instance_profile_by_arn(arn)
    except NotFoundException:
        return (association.association_id if association else arn), ()
    return (association.association_id if association else arn), found.roles
