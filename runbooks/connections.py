"""Clients per account, Region and service; the only place that knows credentials and endpoints."""

from __future__ import annotations

import gc
import ipaddress
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from runbooks import clock
from runbooks.errors import AwsUnreachable, InvalidInput, NoCredentials, Redirected, WrongAccount

# STS allows 15 minutes at the least; a stolen session is worth no more than that.
SESSION_LENGTH = timedelta(minutes=15)
CALLS_SIDE_BY_SIDE = 32
# Incidents that share a client make that many each: a connection that finds no place to be kept in
# is closed after its call, with a warning, and the next call makes one anew.
_CONNECTIONS_KEPT = 8 * CALLS_SIDE_BY_SIDE
USED_BY_PLAYBOOKS = ("ec2", "autoscaling", "elbv2", "elb", "iam", "sts", "cloudformation")
"""Services that an incident reads or changes, the first needed first."""

_CONNECT_SECONDS = 5
_READ_SECONDS = 30
_MODELS_READ: set[str] = set()
# Two threads that need the same model would both read it.
_READING = threading.Lock()


@dataclass(frozen=True)
class AccountAccess:
    """How an account is entered: through a role, or (role None) with the caller's own credentials."""

    role: str | None = None
    external_id: str | None = None


@dataclass(frozen=True)
class _Credentials:
    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(repr=False)
    expires: datetime | None


class SharedClients:
    """Clients of the caller's own credentials, for all incidents of a process.

    They are the same for every incident, and so are the connections that they keep open: an
    incident that finds them there begins that much sooner. A role is entered anew for each.
    """

    _MOST = 64

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: dict[object, Any] = {}

    def get(self, key: object, make: Callable[[], Any]) -> Any:
        """The client of a place and its credentials: the one that is there, or what ``make`` makes."""
        with self._lock:
            if key not in self._clients:
                if len(self._clients) >= self._MOST:
                    # The oldest: of credentials that have run out, most likely.
                    del self._clients[next(iter(self._clients))]
                self._clients[key] = make()
            return self._clients[key]


def require_loopback(url: str) -> str:
    """The URL, if it is a simulated AWS on this machine; Redirected otherwise.

    The host must be a loopback address or ``localhost``, written out: what would have to be looked
    up, or read in another notation, could be anywhere.
    """
    if not _is_on_this_machine(url):
        raise Redirected(
            f"{url!r} is not a simulated AWS on this machine.",
            advice="--simulate takes http://127.0.0.1:PORT, as `clampdown sandbox` prints it.",
        )
    return f"http://{urlsplit(url).netloc}"


def _is_on_this_machine(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
        nothing_else = parts.port != 0 and not (parts.path.strip("/") or parts.query)
    except ValueError:
        return False
    return parts.scheme == "http" and loopback and nothing_else and "@" not in parts.netloc


def refuse_redirection(environ: Mapping[str, str]) -> None:
    """Refuse a live run whose environment would send calls elsewhere than to AWS.

    AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_<SERVICE> redirect every SDK call (AWS SDKs reference,
    "Service-specific endpoints").
    """
    for name in sorted(environ):
        if name.startswith("AWS_ENDPOINT_URL") and environ[name]:
            raise Redirected(
                f"{name} is set: calls meant for AWS would go elsewhere.",
                advice=f"Unset {name}, or use --simulate for a simulated AWS.",
            )


class Connections:
    """boto3 clients for the accounts of playbooks.yaml.

    ``accounts`` maps account ids to how they are entered; an account that isn't there is refused.
    ``session_name`` (the incident) names role sessions and is their SourceIdentity, so that
    CloudTrail shows it with each call. ``simulate`` is the URL of a simulated AWS; without it the
    run is live and redirected endpoints are refused. ``shared`` are the clients of other incidents
    of this process, on the same side.

    Raises Redirected.
    """

    def __init__(
        self,
        accounts: Mapping[str, AccountAccess],
        *,
        session_name: str,
        simulate: str | None = None,
        shared: SharedClients | None = None,
    ) -> None:
        self._shared = shared
        self.simulate = require_loopback(simulate) if simulate else None
        if not self.simulate:
            refuse_redirection(os.environ)
        self.pool = ThreadPoolExecutor(CALLS_SIDE_BY_SIDE, thread_name_prefix="aws")
        self._accounts = accounts
        self._session_name = session_name
        self._lock = threading.RLock()
        self._session: Any = None
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._credentials: dict[str, _Credentials] = {}
        self._identities: dict[str, Future[str]] = {}

    def close(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)

    def warm_up(self, services: Sequence[str]) -> None:
        """Have at hand what the first clients of services are made of; nothing is sent."""
        read_models(services)
        # Much of the SDK is only loaded when it makes one. Any Region and credentials will do.
        self._new_client(services[0], "us-east-1", _Credentials("none", "none", None, None))

    def client(self, service: str, account: str, region: str) -> Any:
        """The client for a service in an account and Region, made once.

        Raises NoCredentials, WrongAccount, AwsUnreachable, InvalidInput (no such Region).
        """
        with self._lock:
            key = (account, region, service)
            credentials = self._credentials.get(account)
            if credentials and credentials.expires:
                left = credentials.expires - clock.now()
                if left < timedelta(minutes=2):
                    self.forget(account)
            if key not in self._clients:
                self._clients[key] = self._client_of(service, account, region)
            return self._clients[key]

    def _client_of(self, service: str, account: str, region: str) -> Any:
        credentials = self._enter(account, region)

        def make() -> Any:
            return self._new_client(service, region, credentials)

        if self._shared is None or self._accounts[account].role:
            return make()
        return self._shared.get((self.simulate, service, region, credentials), make)

    def forget(self, account: str) -> None:
        """Drop an account's session, so that the next call enters it again."""
        with self._lock:
            self._credentials.pop(account, None)
            self._identities.pop(account, None)
            for key in [key for key in self._clients if key[0] == account]:
                del self._clients[key]

    def identity(self, account: str, region: str) -> str:
        """The account to which the credentials used for ``account`` really belong.

        It is asked for once, however many ask at the same time.
        """
        with self._lock:
            known = self._identities.get(account)
            if known is None:
                answer = self._identities[account] = Future()
        if known is not None:
            return known.result()
        try:
            client = self.client("sts", account, region)
            answer.set_result(str(_ask(client.get_caller_identity)["Account"]))
        except BaseException as error:
            answer.set_exception(error)
            with self._lock:
                if self._identities.get(account) is answer:
                    del self._identities[account]
        return answer.result()

    def require_account(self, account: str, region: str, consequence: str) -> None:
        """Raise WrongAccount where the credentials used for ``account`` belong to another one."""
        identity = self.identity(account, region)
        if identity != account:
            raise WrongAccount(
                f"The credentials belong to account {identity}, the target is in {account}.",
                advice=consequence,
            )

    def ask_identity_early(self, account: str, region: str) -> None:
        """Have the answer of :meth:`identity` on its way before the first change needs it."""

        def ask() -> None:
            # Clients are made one after the other, and everybody else waits for that of EC2.
            self.client("ec2", account, region)
            self.identity(account, region)

        self.pool.submit(ask)

    def caller_account(self, region: str) -> str:
        """The account of the caller's own credentials."""
        with self._lock:
            client = self._new_client("sts", region, self._own_credentials())
        # Whoever asks goes on with reads of these services: the time until AWS answers is used.
        self.pool.submit(read_models, USED_BY_PLAYBOOKS[:4])
        return str(_ask(client.get_caller_identity)["Account"])

    def _enter(self, account: str, region: str) -> _Credentials:
        if account not in self._credentials:
            access = self._accounts.get(account)
            if access is None:
                raise WrongAccount(
                    f"Account {account} is not under `accounts` in playbooks.yaml.",
                    advice="Clampdown acts only in accounts that are listed there.",
                )
            own = self._own_credentials()
            self._credentials[account] = self._assume(access, own, region) if access.role else own
        return self._credentials[account]

    def _assume(self, access: AccountAccess, own: _Credentials, region: str) -> _Credentials:
        request: dict[str, Any] = {
            "RoleArn": access.role,
            "RoleSessionName": self._session_name,
            "SourceIdentity": self._session_name,
            "DurationSeconds": int(SESSION_LENGTH.total_seconds()),
        }
        if access.external_id:
            request["ExternalId"] = access.external_id
        client = self._new_client("sts", region, own)
        try:
            answer = _ask(client.assume_role, request)["Credentials"]
        except NoCredentials as error:
            raise NoCredentials(
                f"The role {access.role} can't be assumed: {error.what}",
                advice="Check its trust policy (principal, sts:ExternalId, sts:SetSourceIdentity).",
            ) from error
        return _Credentials(
            answer["AccessKeyId"],
            answer["SecretAccessKey"],
            answer["SessionToken"],
            answer["Expiration"],
        )

    def _own_credentials(self) -> _Credentials:
        if self.simulate:
            return _Credentials("AKIASIMULATED0000000", "simulated", None, None)
        from botocore.exceptions import BotoCoreError

        try:
            found = self._botocore().get_credentials()
            frozen = found.get_frozen_credentials() if found else None
        except BotoCoreError as error:
            raise NoCredentials(
                f"The AWS credentials can't be loaded: {error}",
                advice="Nothing was done. Sign in (`aws sso login`) or set AWS_PROFILE.",
            ) from error
        if frozen is None or not frozen.access_key:
            raise NoCredentials(
                "There are no AWS credentials.",
                advice="Nothing was done. Sign in (`aws sso login`) or set AWS_PROFILE.",
            )
        # The SDK refreshes its own credentials; taking them anew before they run out does the same.
        expires = getattr(found, "_expiry_time", None)
        return _Credentials(frozen.access_key, frozen.secret_key, frozen.token, expires)

    def _botocore(self) -> Any:
        if self._session is None:
            import botocore.session

            variables: dict[str, Any] = {}
            if self.simulate:
                # The user's profiles and configuration have no part in a simulation.
                variables = {
                    "profile": (None, None, None, None),
                    "config_file": (None, None, os.devnull, None),
                    "credentials_file": (None, None, os.devnull, None),
                    "ca_bundle": (None, None, None, None),
                }
            self._session = botocore.session.Session(session_vars=variables or None)
            self._session.register_component("data_loader", _api_models())
            # Also for the clients that the SDK makes itself, to assume a profile's role.
            self._session.set_config_variable("ignore_configured_endpoint_urls", True)
        return self._session

    def _new_client(self, service: str, region: str, credentials: _Credentials) -> Any:
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        config = Config(
            region_name=region,
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            max_pool_connections=_CONNECTIONS_KEPT,
            # The SDK would silently repeat a change whose answer was lost; Aws retries knowingly.
            retries={"total_max_attempts": 1, "mode": "standard"},
            # A profile's endpoint_url would redirect calls as AWS_ENDPOINT_URL does.
            ignore_configured_endpoint_urls=True,
            user_agent_extra="clampdown",
            # The user's environment has no part in a simulation.
            **(
                {"proxies": {}, "use_fips_endpoint": False, "use_dualstack_endpoint": False}
                if self.simulate
                else {}
            ),
        )
        try:
            with _READING:
                client = self._botocore().create_client(
                    service,
                    region_name=region,
                    endpoint_url=self.simulate,
                    aws_access_key_id=credentials.access_key,
                    aws_secret_access_key=credentials.secret_key,
                    aws_session_token=credentials.token,
                    config=config,
                )
        except BotoCoreError as error:
            raise InvalidInput(
                f"There can be no connection to {service} in {region!r}: {error}",
                advice="Nothing was done. Check --region and the AWS configuration.",
            ) from error
        if service not in _MODELS_READ:
            # A service's model is large and stays: without this, every full garbage collection
            # looks through all of them, for 0.1 to 0.2 s in the middle of a containment.
            _MODELS_READ.add(service)
            gc.freeze()
        return client


@cache
def _api_models() -> Any:
    """The SDK's descriptions of AWS's services: read from disk once in a process, not per incident."""
    from botocore.loaders import create_loader

    return create_loader()


def read_models(services: Sequence[str]) -> None:
    """Read the SDK's descriptions of services from disk, before somebody has to wait for it."""
    for service in services:
        with _READING:
            _api_models().load_service_model(service, "service-2", api_version=None)


def _ask(operation: Any, request: Mapping[str, Any] | None = None) -> Any:
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        HTTPClientError,
    )
    from botocore.exceptions import ConnectionError as BotoConnectionError

    try:
        return operation(**(request or {}))
    except ClientError as error:
        detail = error.response.get("Error", {})
        said = f"{detail.get('Code')}: {detail.get('Message')}"
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
        if status >= 500 or "Throttl" in said:
            raise AwsUnreachable(f"AWS could not say who this is ({said}).") from error
        raise NoCredentials(
            f"AWS does not accept the credentials ({said}).",
            advice="Nothing was done. Sign in again; `aws sts get-caller-identity` must work.",
        ) from error
    except (BotoConnectionError, HTTPClientError) as error:
        raise AwsUnreachable(
            f"AWS can't be reached: {error}",
            advice="Nothing was done. Check the network, the Region's name and --simulate.",
        ) from error
    except BotoCoreError as error:
        raise NoCredentials(f"The AWS credentials can't be used: {error}") from error
