"""A simulated AWS behind HTTP on this machine, for tests, game days, the sandbox and the demo."""

from __future__ import annotations

import io
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from flows.gameday.aws import (
    autoscaling,
    cloudtrail,
    corrections,
    guardduty,
    http_server,
    instance_findings,
    pages,
    queues,
    securityhub,
    settings,
    simulated_time,
    ssm,
    ssm_commands,
)
from flows.gameday.aws.authorization import enforce, sessions
from flows.gameday.aws.dataplane import DataPlane, NewConnection
from flows.gameday.aws.direct import Direct
from flows.gameday.aws.faults import FAULT, Fault, Faults, Limit, Limits, error_answer
from flows.gameday.aws.identities import identity_of
from flows.gameday.aws.instance_findings import InstanceFinding
from flows.gameday.aws.loading import is_loaded
from flows.gameday.aws.memory import Memory, forget, seed
from flows.gameday.aws.recording import Calls, Request

ACCOUNT = "123456789012"
CONTROL = "/_clampdown/"
_XML_CODE = re.compile(rb"<Code>([^<]+)</Code>")
_LOG = logging.getLogger(__name__)


class AlreadyRunning(RuntimeError):
    """There is a simulated AWS in this process already; moto's state is one to a process."""


class _ConnectionCut(ConnectionAbortedError):
    """The caller's connection is cut on purpose."""


@dataclass
class SimulatedAws:
    """moto behind HTTP, corrected to what AWS documents, with faults, latency and a record.

    ``port`` 0 takes a free one; it listens on 127.0.0.1 and nowhere else. ``latency`` is added to
    every call. The other settings are those of :class:`flows.gameday.aws.settings.Settings`.
    Use it as a context manager, or with :meth:`start` and :meth:`stop`.

    Any credentials are accepted; they belong to account 123456789012, unless they are those of a
    role that was assumed in another account. With the setting ``enforce_iam``, those that IAM or
    STS gave out may only do what IAM allows them.

    From another process it is controlled over HTTP: GET /_clampdown/health, GET /_clampdown/calls,
    POST /_clampdown/reset, POST /_clampdown/faults (one fault or a list of them; an empty list
    clears), DELETE /_clampdown/faults (likewise: they are over), GET /_clampdown/faults (each with
    its ``hits``), POST /_clampdown/limits (likewise, of :class:`flows.gameday.aws.faults.Limit`), POST
    /_clampdown/config (settings by name), POST /_clampdown/connections (a
    :class:`flows.gameday.aws.dataplane.NewConnection`), GET /_clampdown/connections, POST
    /_clampdown/findings (what GuardDuty finds from now on, one or a list of them: items of its
    GetFindings, see :func:`flows.gameday.aws.guardduty.inject`, or, of an instance that there is,
    :class:`flows.gameday.aws.instance_findings.InstanceFinding`: ``{"instance": "i-…", "severity":
    8, "role": "ACTOR"}``; with ``{"findings": […], "publish": false}`` GuardDuty has them and no
    event says so; the answer has their ``ids``), POST /_clampdown/ssm-output (one
    :class:`flows.gameday.aws.ssm_commands.CommandOutput` or a list), POST /_clampdown/ping-status
    (``{"instance": "i-…", "status": "ConnectionLost"}``), POST /_clampdown/custom-action (of
    Security Hub: ``{"action": ARN, "findings": [ids]}``), POST
    /_clampdown/instance-credentials (``{"instance": "i-…"}``).
    """

    port: int = 0
    latency: timedelta = timedelta(0)
    snapshot_seconds: float = 0.0
    drain_seconds: float = 0.0
    stack_seconds: float = 0.0
    health_seconds: float = 0.0
    grace_seconds: float = 0.0
    register_seconds: float = 0.0
    provision_seconds: float = 0.0
    instance_seconds: float = 0.0
    groups_per_vpc: int = 2500
    seed: int = 0
    enforce_iam: bool = False
    iam_consistency_seconds: float = 0.0
    calls: Calls = field(default_factory=Calls, init=False, repr=False)
    _faults: Faults = field(default_factory=Faults, init=False, repr=False)
    _limits: Limits = field(default_factory=Limits, init=False, repr=False)
    _moto_lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _server: Any = field(default=None, init=False, repr=False)
    _thread: threading.Thread | None = field(default=None, init=False, repr=False)
    _dispatch: Any = field(default=None, init=False, repr=False)
    _data_plane: DataPlane = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._data_plane = DataPlane(lambda environ, start: self._dispatch(environ, start))

    def start(self) -> SimulatedAws:
        """Start answering. Raises AlreadyRunning, WrongMoto, and OSError where the port is taken."""
        if not _RUNNING.acquire(blocking=False):
            raise AlreadyRunning("A simulated AWS is running in this process already.")
        try:
            corrections.apply()
            cloudtrail.look_up_in(self.calls)
            queues.take_turns(self._moto_lock)
            self._open()
        except BaseException:
            _RUNNING.release()
            raise
        self.reset()
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="simulated-aws", daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop answering and forget everything. Does nothing where it isn't running."""
        if self._thread is None:
            return
        self._server.shutdown()
        self._server.server_close()
        thread, self._thread = self._thread, None
        thread.join()
        with self._moto_lock:
            queues.let_go()
            forget()
        _RUNNING.release()

    def __enter__(self) -> SimulatedAws:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The endpoint for every service."""
        return f"http://{http_server.HOST}:{self._server.server_address[1]}"

    def reset(self) -> None:
        """Empty all accounts, forget calls and faults, and go back to the settings it began with."""
        self.configure(
            latency_seconds=self.latency.total_seconds(),
            snapshot_seconds=self.snapshot_seconds,
            drain_seconds=self.drain_seconds,
            stack_seconds=self.stack_seconds,
            health_seconds=self.health_seconds,
            grace_seconds=self.grace_seconds,
            register_seconds=self.register_seconds,
            provision_seconds=self.provision_seconds,
            instance_seconds=self.instance_seconds,
            snapshots_fail=False,
            no_capacity=(),
            groups_per_vpc=self.groups_per_vpc,
            seed=self.seed,
            untrack_seconds=60.0,
            enforce_iam=self.enforce_iam,
            iam_consistency_seconds=self.iam_consistency_seconds,
            trail_seconds=0.0,
        )
        simulated_time.set_ahead(0.0)
        self.clear_faults()
        self.clear_limits()
        ssm_commands.OUTPUTS.clear()
        with self._moto_lock:
            self._data_plane.clear()
            queues.let_go()
            forget()
            seed(settings.SETTINGS.seed)
        self.calls.clear()

    def remember(self) -> Memory:
        """All accounts as they are, to come back to with :meth:`recall`."""
        with self._moto_lock:
            return Memory.of_now()

    def recall(self, memory: Memory) -> None:
        """Like :meth:`reset`, but with the accounts as they were remembered, ids to come too.

        What is remembered may be recalled any number of times.
        """
        self.reset()
        with self._moto_lock:
            memory.put_back()

    def configure(self, **values: object) -> None:
        """Change settings by name until the next reset. Raises ValidationError."""
        settings.configure(**values)

    def set_ahead(self, seconds: float) -> None:
        """Have it be so much later here than the machine's clock says, until the next reset."""
        simulated_time.set_ahead(seconds)

    def fault(self, rule: Fault) -> None:
        """Have calls that match meet this fault, until :meth:`clear_faults`."""
        self._faults.add(rule)

    def clear_faults(self) -> None:
        self._faults.clear()

    def limit(self, rule: Limit) -> None:
        """Throttle calls that are more than the limit lets through, until the next reset."""
        self._limits.add(rule)

    def clear_limits(self) -> None:
        self._limits.clear()

    def connect(self, wanted: NewConnection) -> Mapping[str, Any]:
        """Establish a connection that goes on from then on. Raises NotConnected."""
        with self._moto_lock:
            return self._data_plane.establish(wanted)

    def connections(self) -> list[dict[str, Any]]:
        """Every connection that was established: ``alive`` or not, ``why``, by which ``rule`` of
        AWS, and when it was ``cut``."""
        with self._moto_lock:
            return self._data_plane.listed()

    def instance_credentials(self, instance_id: str) -> Mapping[str, str]:
        """What the instance's metadata service answers to who asks it for credentials.

        ``AccessKeyId``, ``SecretAccessKey``, ``Token``, ``Expiration`` and so forth (EC2 User
        Guide, "Retrieve security credentials from instance metadata"). Raises
        NoInstanceCredentials.
        """
        with self._moto_lock:
            return sessions.for_instance(instance_id).served

    def find(self, finding: Mapping[str, Any], *, publish: bool = True) -> str:
        """Have GuardDuty find something, an item of GetFindings; its id. Raises ValueError.

        Without ``publish`` GuardDuty has it, and no event says so.
        """
        with self._moto_lock:
            return guardduty.inject(finding, publish=publish)

    def find_on(self, *found: InstanceFinding, publish: bool = True) -> list[str]:
        """Have GuardDuty find something on instances that there are; the findings' ids.

        Raises ValueError where there is no such instance.
        """
        with self._moto_lock:
            return instance_findings.find(found, self._data_plane.asking, publish=publish)

    def choose_custom_action(self, action: str, finding_ids: Iterable[str]) -> int:
        """Have somebody choose a custom action of Security Hub. Raises ValueError."""
        with self._moto_lock:
            return securityhub.choose(action, finding_ids)

    def script_output(self, output: ssm_commands.CommandOutput) -> None:
        """Have commands that match say this, until the next reset."""
        ssm_commands.OUTPUTS.add(output)

    def set_ping_status(self, instance_id: str, status: str | None) -> None:
        """Have an instance's agent be Online or ConnectionLost; None undoes it."""
        with self._moto_lock:
            ssm.set_ping_status(instance_id, status)

    def _open(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

        self._dispatch = Direct(DomainDispatcherApplication(create_backend_app))
        self._server = http_server.server(self.port, self._answer)

    def _answer(self, environ: dict[str, Any], start: http_server.StartResponse) -> Iterable[bytes]:
        if self._thread is None:
            # A connection that is still open from before the server was stopped.
            _cut(environ)
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length) if length else b""
        if len(body) < length:
            _cut(environ)  # The caller died while asking.
        if environ["PATH_INFO"].startswith(CONTROL):
            status, answer = self._control(environ["REQUEST_METHOD"], environ["PATH_INFO"], body)
            start(status, _headers(answer, "application/json"))
            return [answer]
        # Slept before the lock is taken, so that calls made side by side wait side by side.
        if settings.SETTINGS.latency_seconds:
            time.sleep(settings.SETTINGS.latency_seconds)
        request = Request.read(environ, body)
        met = self._faults.meet(
            request.service, request.operation, request.parameters, request.user_agent
        )
        if met is not None and met.effect == "latency":
            time.sleep(met.seconds)
            met = None
        return self._carry_out(environ, body, request, met.fault if met else None, start)

    def _carry_out(
        self,
        environ: dict[str, Any],
        body: bytes,
        request: Request,
        fault: Fault | None,
        start: http_server.StartResponse,
    ) -> Iterable[bytes]:
        began = time.monotonic()
        at = simulated_time.now()
        with self._moto_lock:
            account = _account_of(request.access_key)
            # Now: afterwards the access key may be gone.
            identity = identity_of(request.access_key, account)
            fault = fault or self._limits.exceeded(
                request.service, request.operation, account, request.region
            )
            if fault is None or fault.is_carried_out:
                environ[FAULT] = fault
                if is_loaded("autoscaling"):
                    autoscaling.keep_up()
                keep = fault.keep if fault is not None and fault.effect == "partial_page" else None
                status, headers, answer = self._paged(environ, body, request, keep)
            elif fault.refuses:
                error = fault.answer(request.service)
                answer, kind = error_answer(request.service, error.code, error.message)
                headers = [*_headers(answer, kind), ("x-amzn-errortype", error.code)]
                status = f"{error.status} Error"
            else:
                status, headers, answer = "0 Dropped", [], b""
            code = int(status.split()[0])
            call = request.recorded(
                account,
                at,
                time.monotonic() - began,
                code,
                _error_code(code, headers, answer),
                identity,
            )
            self.calls.add(call)
            if call.changes:
                self._data_plane.observe()
        if fault is not None and fault.effect in ("drop", "lost_answer"):
            _cut(environ)
        start(status, headers)
        return [answer]

    def _paged(
        self, environ: dict[str, Any], body: bytes, request: Request, keep: int | None
    ) -> tuple[str, list[tuple[str, str]], bytes]:
        """moto's answer, of which a page may have been given out in part before."""
        operation = request.service, request.operation
        asked = pages.resumed(*operation, environ, body)
        status, headers, answer = self._moto(asked.environ, asked.body, request)
        if not status.startswith("2") or (keep is None and not asked.skip):
            return status, headers, answer
        token = asked.token if asked.skip else pages.token_of(*operation, request.parameters)
        answer = pages.shortened(*operation, answer, skip=asked.skip, keep=keep, token=token)
        return status, headers, answer

    def _moto(
        self, environ: dict[str, Any], body: bytes, request: Request
    ) -> tuple[str, list[tuple[str, str]], bytes]:
        """moto's answer. What moto can't do is said in AWS's form, with a status that no client
        repeats."""
        environ["wsgi.input"] = io.BytesIO(body)
        begun: list[tuple[str, list[tuple[str, str]]]] = []

        def start(status: str, headers: list[tuple[str, str]], *_: object) -> Callable[..., None]:
            begun.append((status, headers))
            return lambda data: None

        try:
            refusal = enforce.refusal(environ, request, _account_of(request.access_key))
            if refusal is not None:
                return refusal
            answer = b"".join(self._dispatch(environ, start))
        except NotImplementedError as error:
            return _not_simulated(request, str(error))
        except Exception as error:
            _LOG.exception("%s:%s can't be simulated", request.service, request.operation)
            return _not_simulated(request, f"{type(error).__name__}: {error}")
        status, headers = begun[-1]
        if status.startswith(("404", "500")) and answer[:15].lower().startswith(b"<!doctype html"):
            return _not_simulated(request, "moto has no such operation")
        return status, headers, answer

    def _control(self, method: str, path: str, body: bytes) -> tuple[str, bytes]:
        name = path.removeprefix(CONTROL)
        try:
            data = json.loads(body or b"null")
            answer = self._controlled(method, name, data)
        except (ValidationError, TypeError, ValueError) as error:
            return "400 Bad Request", json.dumps({"error": str(error)}).encode()
        if answer is None:
            return "404 Not Found", json.dumps({"error": f"no {method} {path}"}).encode()
        return "200 OK", json.dumps(answer, default=str).encode()

    def _controlled(self, method: str, name: str, data: Any) -> Mapping[str, Any] | None:
        match method, name:
            case "GET", "health":
                return {"healthy": True, "url": self.url, "account": ACCOUNT}
            case "GET", "calls":
                return {"calls": [call.to_json() for call in self.calls]}
            case "GET", "connections":
                return {"connections": self.connections()}
            case "POST", "connections":
                return self.connect(NewConnection.model_validate(data))
            case "POST", "reset":
                self.reset()
                return {}
            case "POST", "faults":
                faults = [Fault.model_validate(item) for item in _listed(data)]
                if not faults:
                    self.clear_faults()
                for fault in faults:
                    self.fault(fault)
                return {"added": len(faults)}
            case "GET", "faults":
                return {
                    "faults": [
                        {"fault": fault.model_dump(exclude_defaults=True), "hits": hits}
                        for fault, hits in self._faults.hit()
                    ]
                }
            case "DELETE", "faults":
                for item in _listed(data):
                    self._faults.end(Fault.model_validate(item))
                return {}
            case "POST", "limits":
                limits = [Limit.model_validate(item) for item in _listed(data)]
                if not limits:
                    self.clear_limits()
                for limit in limits:
                    self.limit(limit)
                return {"added": len(limits)}
            case "POST", "clock":
                ahead = float(data["ahead"])
                self.set_ahead(ahead)
                return {"ahead": ahead}
            case "POST", "config":
                self.configure(**(data or {}))
                return settings.SETTINGS.model_dump()
            case "POST", "findings":
                publish = True
                if isinstance(data, dict) and "findings" in data:
                    data, publish = data["findings"], bool(data.get("publish", True))
                return {"ids": [self._find(item, publish) for item in _listed(data)]}
            case "POST", "custom-action":
                return {"chosen": self.choose_custom_action(data["action"], data["findings"])}
            case "POST", "ssm-output":
                outputs = [
                    ssm_commands.CommandOutput.model_validate(item) for item in _listed(data)
                ]
                for output in outputs:
                    self.script_output(output)
                return {"added": len(outputs)}
            case "POST", "ping-status":
                self.set_ping_status(data["instance"], data["status"])
                return {}
            case "POST", "instance-credentials":
                return self.instance_credentials(str((data or {}).get("instance")))
        return None

    def _find(self, item: Mapping[str, Any], publish: bool) -> str:
        if "instance" not in item:
            return self.find(item, publish=publish)
        return self.find_on(InstanceFinding.model_validate(item), publish=publish)[0]


_RUNNING = threading.Lock()


def _listed(data: Any) -> list[Any]:
    if data is None:
        return []
    return data if isinstance(data, list) else [data]


def _headers(answer: bytes, kind: str) -> list[tuple[str, str]]:
    return [("Content-Type", kind), ("Content-Length", str(len(answer)))]


def _not_simulated(request: Request, why: str) -> tuple[str, list[tuple[str, str]], bytes]:
    code = "NotSimulated"
    answer, kind = error_answer(
        request.service,
        code,
        f"The simulated AWS can't do {request.service}:{request.operation}: {why}",
    )
    return "501 Not Implemented", [*_headers(answer, kind), ("x-amzn-errortype", code)], answer


def _error_code(status: int, headers: Iterable[tuple[str, str]], answer: bytes) -> str:
    if 0 < status < 400:
        return ""
    for name, value in headers:
        if name.lower() == "x-amzn-errortype":
            return value.split(":", 1)[0]
    found = _XML_CODE.search(answer)
    if found:
        return found.group(1).decode()
    try:
        return str(json.loads(answer).get("__type", "")).rsplit("#", 1)[-1]
    except (ValueError, AttributeError):
        return ""


def _cut(environ: Mapping[str, Any]) -> None:
    import socket

    connection = environ.get("werkzeug.socket")
    if connection is not None:
        connection.shutdown(socket.SHUT_RDWR)
    raise _ConnectionCut


def _account_of(access_key: str) -> str:
    from moto.iam.models import get_account_id_from

    return str(get_account_id_from(access_key))
