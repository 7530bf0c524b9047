"""``prefect deploy --all`` against a server, and what is deployed then."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prefect.flows import load_flow_from_entrypoint

from flows.prefect_server import EmbeddedServer, embed_prefect, require_answer
from tests.conftest import ROOT

FILE = ROOT / "deployments" / "prefect.yaml"
POOLS = {"respond": "clampdown", "undo": "clampdown", "drill": "clampdown-drills"}


@pytest.mark.timeout(240)
def test_everything_is_deployed_and_nothing_runs_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    with monkeypatch.context() as embedded:
        embedded.setattr(os, "environ", dict(os.environ))
        embed_prefect(tmp_path)
        server = EmbeddedServer(tmp_path)
        environment = {**os.environ, "PREFECT_API_URL": server.url}
    try:
        require_answer(server.url, timedelta(seconds=60))
        with httpx.Client(base_url=server.url, trust_env=False, timeout=30) as api:
            for pool in sorted(set(POOLS.values())):
                made = api.post("/work_pools/", json={"name": pool, "type": "process"})
                made.raise_for_status()
            deploy = [
                *["-P", "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file"],
                FILE,
            ]
            done = subprocess.run(
                [sys.executable, *map(str, deploy)],
                env=environment,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            found = api.post("/deployments/filter", json={}).raise_for_status().json()
    finally:
        server.stop()

    deployed: dict[str, Any] = {item["name"]: item for item in found}
    assert {name: item["work_pool_name"] for name, item in deployed.items()} == POOLS
    for name, item in deployed.items():
        assert item["entrypoint"] == f"flows.deployed.{name}"
        assert not item["pull_steps"]
        assert item["enforce_parameter_schema"]
        # Nothing of a run says which command it is, or with which environment.
        assert item["job_variables"] == {}
    assert deployed["respond"]["parameter_openapi_schema"]["required"] == ["incident"]
    assert deployed["undo"]["schedules"] == deployed["respond"]["schedules"] == []
    (schedule,) = deployed["drill"]["schedules"]
    assert not schedule["active"]
    assert (schedule["schedule"]["cron"], schedule["schedule"]["timezone"]) == (
        "0 10 * * TUE",
        "Europe/Berlin",
    )
    assert deployed["drill"]["global_concurrency_limit"]["limit"] == 1


def test_every_entrypoint_is_a_flow_of_the_installed_package() -> None:
    for deployment in yaml.safe_load(FILE.read_text())["deployments"]:
        flow = load_flow_from_entrypoint(deployment["entrypoint"], use_placeholder_flow=False)
        assert flow.name == f"clampdown-{deployment['name']}"
        assert flow.persist_result is False
