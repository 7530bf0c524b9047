"""The image, compose and Kubernetes: what they name is there, and nothing runs with more than it needs."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from fnmatch import fnmatch
from functools import cache
from typing import Any

import kubernetes_validate
import pytest
import yaml
from prefect.settings import Settings as PrefectSettings
from prefect.settings.legacy import _get_valid_setting_names
from prefect_redis.client import RedisMessagingSettings

from flows.cli import app
from flows.serve.service import END_WITHIN
from flows.serve.settings import ServeSettings
from flows.settings import Settings
from flows.slack.settings import SlackSettings
from tests.conftest import ROOT

DEPLOYMENTS = ROOT / "deployments"
DOCKERFILE = (DEPLOYMENTS / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOYMENTS / "compose.yaml").read_text())
MANIFESTS = sorted((DEPLOYMENTS / "kubernetes").glob("*.yaml*"))
OF_IMAGE = {"PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "HOME", "DO_NOT_TRACK"}
OF_AWS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
# Who acts has credentials and the journal; who rehearses or only shows has neither.
ACTING, OTHERS = {"serve", "worker"}, {"prefect", "drills"}
_SECONDS = re.compile(r"(\d+)s")


def known_settings() -> set[str]:
    """Every variable of the environment that Clampdown, Prefect or its Redis would look at."""
    ours = (Settings, ServeSettings, SlackSettings)
    names = {
        str(kind.model_config["env_prefix"]) + name.upper()
        for kind in ours
        for name in kind.model_fields
    }
    redis = {
        f"PREFECT_REDIS_MESSAGING_{name.upper()}" for name in RedisMessagingSettings.model_fields
    }
    return names | redis | _get_valid_setting_names(PrefectSettings)


@dataclass(frozen=True)
class Container:
    """One of our containers, wherever it is described."""

    where: str
    name: str
    command: tuple[str, ...]
    environment: dict[str, Any]
    grace: timedelta
    probes: tuple[str, ...] = ()
    ports: tuple[int, ...] = field(default=(), compare=False)


@cache
def documents() -> tuple[dict[str, Any], ...]:
    """Every manifest, with the name of its ``file``."""
    return tuple(
        {"file": path.name, **document}
        for path in MANIFESTS
        for document in yaml.safe_load_all(path.read_text())
        if document["kind"] != "Kustomization"
    )


def named(kind: str, name: str) -> dict[str, Any]:
    (found,) = (
        document
        for document in documents()
        if (document["kind"], document["metadata"]["name"]) == (kind, name)
    )
    return found


def deployments() -> list[dict[str, Any]]:
    return [document for document in documents() if document["kind"] == "Deployment"]


def containers() -> Iterator[Container]:
    """Those of compose, and those of Kubernetes."""
    for name, service in COMPOSE["services"].items():
        if service["image"] == "clampdown":
            seconds = _SECONDS.fullmatch(service["stop_grace_period"])
            assert seconds
            yield Container(
                "compose",
                name,
                (*service.get("entrypoint", ["clampdown"]), *service["command"]),
                service["environment"],
                timedelta(seconds=int(seconds[1])),
            )
    for deployment in deployments():
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        yield Container(
            "kubernetes",
            container["name"],
            tuple(container.get("command", ["clampdown"]) + container.get("args", [])),
            environment_of(container),
            timedelta(seconds=pod["terminationGracePeriodSeconds"]),
            tuple(
                container[probe]["httpGet"]["path"]
                for probe in ("startupProbe", "livenessProbe", "readinessProbe")
                if probe in container
            ),
            tuple(port["containerPort"] for port in container.get("ports", [])),
        )


def environment_of(container: dict[str, Any]) -> dict[str, Any]:
    found = {item["name"]: item.get("value") for item in container.get("env", [])}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            found |= named("ConfigMap", source["configMapRef"]["name"])["data"]
        else:
            found |= named("Secret", source["secretRef"]["name"])["stringData"]
    return found


CONTAINERS = list(containers())
each_container = pytest.mark.parametrize(
    "container", CONTAINERS, ids=lambda item: f"{item.where}-{item.name}"
)


def test_both_describe_the_same_containers() -> None:
    of_compose, of_kubernetes = (
        {c.name for c in CONTAINERS if c.where == where} for where in ("compose", "kubernetes")
    )
    assert of_compose == of_kubernetes == ACTING | OTHERS
    commands: dict[str, set[tuple[str, ...]]] = {}
    for container in CONTAINERS:
        commands.setdefault(container.name, set()).add(container.command)
    assert all(len(of_name) == 1 for of_name in commands.values())


@each_container
def test_every_setting_is_one_that_somebody_looks_at(container: Container) -> None:
    assert set(container.environment) - OF_AWS <= known_settings()


@each_container
def test_every_command_is_there_with_its_options(container: Container) -> None:
    program, *words = container.command
    assert program in {"clampdown", "prefect"}
    if program == "clampdown":
        command, *options = words
        offered = {
            info.name or info.callback.__name__: inspect.signature(info.callback).parameters
            for info in app.registered_commands
            if info.callback
        }
        assert {option.removeprefix("--") for option in options} <= set(offered[command])
    elif words[0] == "server":
        # The command line of Prefect is made of its functions.
        start = inspect.signature(importlib.import_module("prefect.cli.server").start)
        assert {"host", "port"} <= set(start.parameters)
    else:
        assert words[:2] == ["worker", "start"]
        assert words[words.index("--pool") + 1] == "clampdown-drills"


@each_container
def test_only_who_acts_knows_the_journal_and_credentials(container: Container) -> None:
    secret = {name for name in container.environment if name == "CLAMPDOWN_JOURNAL"}
    assert bool(secret) is (container.name in ACTING)
    if container.name in OTHERS:
        assert not OF_AWS & set(container.environment)
        assert not {name for name in container.environment if name.startswith("CLAMPDOWN_")}


@each_container
def test_what_is_in_flight_has_the_time_to_end(container: Container) -> None:
    if container.name in ACTING:
        # Queues first, then incidents.
        assert container.grace > 2 * END_WITHIN


def test_prefects_server_uses_redis_for_everything_that_is_in_memory_otherwise() -> None:
    for container in CONTAINERS:
        if container.name == "prefect":
            modules = {
                name: value
                for name, value in container.environment.items()
                if str(value).startswith("prefect_redis.")
            }
            assert len(modules) == 5
            for module in modules.values():
                importlib.import_module(module)
            assert {"PREFECT_SERVER_DOCKET_URL", "PREFECT_REDIS_MESSAGING_URL"} <= set(
                container.environment
            )


# The image


def test_the_image_is_made_of_what_is_there_and_let_in() -> None:
    ignored = (DEPLOYMENTS / "Dockerfile.dockerignore").read_text().splitlines()
    let_in = [line[1:] for line in ignored if line.startswith("!")]
    assert "*" in ignored
    copied = [
        path
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for path in line.split()[:-1]
    ]
    assert "requirements.lock" in copied
    for path in copied:
        assert (ROOT / path).exists(), path
        assert any(fnmatch(path, pattern) for pattern in let_in), path


def test_everything_installed_is_held_against_hashes() -> None:
    installs = re.findall(r"(?:pip install|uv build)[^&\n]+", DOCKERFILE.replace("\\\n", " "))
    assert len(installs) == 4
    for command in installs:
        assert "--require-hashes" in command or "--no-deps dist/" in command, command
    lock = (DEPLOYMENTS / "build.lock").read_text()
    assert re.search(r"^uv==[\d.]+ \\\n +--hash=sha256:[0-9a-f]{64}", lock, re.MULTILINE)


def test_the_image_runs_as_nobody_and_says_how_it_is() -> None:
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert 'ENTRYPOINT ["clampdown"]' in last
    assert re.search(r"^HEALTHCHECK .*\n.*:8809/health", last, re.MULTILINE)
    environment = re.findall(r"([A-Z_]+)=\S+", re.findall(r"^ENV (?:.*\\\n)*.*", last, re.M)[0])
    assert set(environment) - OF_IMAGE <= known_settings()
    assert not [name for name in environment if re.search("TOKEN|SECRET|PASSWORD|KEY", name)]


# Compose


def test_nothing_listens_outside_the_machine() -> None:
    published = {
        name: service["ports"]
        for name, service in COMPOSE["services"].items()
        if "ports" in service
    }
    assert published == {"serve": ["127.0.0.1:8809:8809"]}
    reaches_out = {
        name
        for name, service in COMPOSE["services"].items()
        if any(not COMPOSE["networks"][net].get("internal") for net in service["networks"])
    }
    assert reaches_out == ACTING


def test_secrets_come_from_the_example_s_variables_and_are_in_none_of_the_files() -> None:
    text = (DEPLOYMENTS / "compose.yaml").read_text()
    asked = set(re.findall(r"(?<!\$)\$\{(\w+)(?::[?-])?\}", text))
    example = (DEPLOYMENTS / "compose.env.example").read_text()
    offered = dict(re.findall(r"^([A-Z_]+)=(.*)$", example, re.MULTILINE))
    assert asked == set(offered)
    assert set(offered.values()) == {""}
    secrets = [document for document in documents() if document["kind"] == "Secret"]
    assert {document["file"] for document in secrets} == {"secrets.yaml.example"}
    assert {value for document in secrets for value in document["stringData"].values()} == {""}


@pytest.mark.parametrize("name", sorted(ACTING | OTHERS | {"redis"}))
def test_a_container_may_do_nothing_that_it_does_not_need(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service["user"].startswith("0")
    assert not service.get("privileged")


def test_every_service_says_how_it_is_or_why_not() -> None:
    unhealthy = {
        name
        for name, service in COMPOSE["services"].items()
        if "healthcheck" not in service and name != "serve"  # the image's own
    }
    assert unhealthy == set()
    assert COMPOSE["services"]["drills"]["healthcheck"] == {"disable": True}
    assert "8810" in str(COMPOSE["services"]["worker"]["healthcheck"])
    assert COMPOSE["services"]["worker"]["environment"]["CLAMPDOWN_WORKER_PORT"] == 8810


# Kubernetes


@pytest.mark.parametrize(
    "document", documents(), ids=lambda d: f"{d['kind']}-{d['metadata']['name']}"
)
def test_a_manifest_is_as_its_schema_says(document: dict[str, Any]) -> None:
    version = kubernetes_validate.latest_version()
    manifest = {key: value for key, value in document.items() if key != "file"}
    kubernetes_validate.validate(manifest, version, strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**manifest, "unknown": 1}, version, strict=True)
    assert document["kind"] == "Namespace" or document["metadata"]["namespace"] == "clampdown"


def test_the_kustomization_names_every_manifest() -> None:
    text = (DEPLOYMENTS / "kubernetes" / "kustomization.yaml").read_text()
    listed = {*yaml.safe_load(text)["resources"], "drills.yaml", "kustomization.yaml"}
    assert "# - drills.yaml" in text
    assert listed == {path.name for path in MANIFESTS if path.suffix == ".yaml"}


@pytest.mark.parametrize("deployment", deployments(), ids=lambda item: item["metadata"]["name"])
def test_a_pod_is_restricted(deployment: dict[str, Any]) -> None:
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    # A Service named prefect would set PREFECT_PORT, one named clampdown CLAMPDOWN_PORT.
    assert pod["enableServiceLinks"] is False
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in pod["volumes"]
    }
    assert {mount["mountPath"] for mount in container["volumeMounts"]} >= {
        "/tmp",
        "/var/lib/clampdown",
    }
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert labels["app.kubernetes.io/component"] == deployment["metadata"]["name"]


@pytest.mark.parametrize(
    ("name", "paths", "port"),
    [
        ("prefect", ("/api/health", "/api/health", "/api/ready"), 4200),
        ("serve", ("/health", "/health", "/ready"), ServeSettings().port),
        ("worker", ("/health", "/health", "/ready"), 8810),
    ],
)
def test_a_pod_is_asked_how_it_is(name: str, paths: tuple[str, ...], port: int) -> None:
    (container,) = (c for c in CONTAINERS if (c.where, c.name) == ("kubernetes", name))
    assert (container.probes, container.ports) == (paths, (port,))
    if name == "worker":
        assert container.environment["CLAMPDOWN_WORKER_PORT"] == "8810"


def test_one_prefect_server_two_workers_at_least_and_never_none() -> None:
    assert named("Deployment", "prefect")["spec"]["replicas"] == 1
    assert "replicas" not in named("Deployment", "worker")["spec"]
    assert named("HorizontalPodAutoscaler", "worker")["spec"]["minReplicas"] == 2
    assert named("PodDisruptionBudget", "worker")["spec"]["minAvailable"] == 1


def test_nobody_gets_to_prefect_but_who_works_with_it_and_drills_get_nowhere_else() -> None:
    everything = named("NetworkPolicy", "nothing-but-names")["spec"]
    assert (everything["podSelector"], everything["policyTypes"]) == ({}, ["Ingress", "Egress"])
    (ingress,) = named("NetworkPolicy", "prefect")["spec"]["ingress"]
    (source,) = ingress["from"]
    (expression,) = source["podSelector"]["matchExpressions"]
    assert set(expression["values"]) == ACTING | {"drills"}
    drills = named("NetworkPolicy", "drills")["spec"]
    assert [rule["ports"][0]["port"] for rule in drills["egress"]] == [4200]
    assert "ingress" not in drills


# What the guide says


def test_the_guide_names_what_is_there() -> None:
    guide = (ROOT / "docs" / "deploy.md").read_text()
    names = set(re.findall(r"\b(?:CLAMPDOWN|PREFECT)_[A-Z_]+\b", guide))
    assert names <= known_settings() | {"CLAMPDOWN_SIMULATE"}
    for path in set(re.findall(r"\bdeployments/[\w./-]+\w", guide)):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"\]\(([\w.]+\.md)\)", guide):
        assert (ROOT / "docs" / path).exists(), path
    template = (DEPLOYMENTS / "cloudformation" / "clampdown.yaml").read_text()
    parameters, _, _ = template.partition("\nConditions:")
    rows = guide.partition("| parameter | |")[2].partition("\n\n")[0]
    told = re.findall(r"`([A-Z]\w+)`", "".join(re.findall(r"^\| (.+?) \|", rows, re.MULTILINE)))
    assert len(told) >= 10
    for name in told:
        assert f"\n  {name}:\n    Type: " in parameters, name
