"""The house is built as ARCHITECTURE says: what may import what, and what each command loads."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from flows.journal.journal import Journal
from flows.journal.record import Actor
from runbooks.registry import STEPS
from tests.runbooks.playbook_files import SMALL

ROOT = Path(__file__).parents[1]
PACKAGES = ("runbooks", "flows")
MODULES = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
# Loading one of these takes longer than most commands.
HEAVY = ("prefect", "moto", "boto3", "botocore")

_LOADED = """
import json, sys
sys.argv = ["clampdown", *json.loads(sys.argv[1])]
from flows import cli
code = 0
if len(sys.argv) > 1:
    try:
        cli.main()
    except SystemExit as leaving:
        code = leaving.code
print(json.dumps({"code": code, "modules": sorted({name.split(".")[0] for name in sys.modules})}),
      file=sys.stderr)
"""


def run(*arguments: str, **environment: str) -> tuple[int, set[str]]:
    """A command's exit code, and the packages that it has loaded at its end."""
    done = subprocess.run(
        [sys.executable, "-c", _LOADED, json.dumps(arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stderr.splitlines()[-1])
    return told["code"], set(told["modules"])


def contracts() -> dict[str, dict[str, list[str]]]:
    configured = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return {contract["id"]: contract for contract in configured["contracts"]}


def test_imports_point_down_only() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_every_step_is_held_apart_from_every_other() -> None:
    held = contracts()["steps"]["modules"]
    assert sorted(held) == sorted(step.__module__ for step in STEPS.values())


def test_loading_the_command_line_loads_nothing_heavy() -> None:
    _, loaded = run()
    assert not loaded & {*HEAVY, "sqlalchemy", "rich", "jmespath", "yaml"}


def test_help_loads_nothing_heavy() -> None:
    code, loaded = run("--help")
    assert code == 0
    assert not loaded & {*HEAVY, "sqlalchemy", "yaml"}


def test_validating_loads_nothing_heavy(tmp_path: Path) -> None:
    path = tmp_path / "playbooks.yaml"
    path.write_text(SMALL)
    code, loaded = run("validate", str(path))
    assert code == 0
    assert not loaded & {*HEAVY, "sqlalchemy"}
    assert "yaml" in loaded


@pytest.mark.parametrize(
    "command",
    [("status", "inc-1"), ("timeline", "inc-1"), ("incidents",), ("journal", "verify")],
    ids=" ".join,
)
def test_looking_at_incidents_loads_nothing_heavy(command: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "playbooks.yaml"
    path.write_text(SMALL)
    journal = Journal.open(f"sqlite:///{tmp_path / 'home' / 'journal.db'}")
    journal.append("inc-9", "test.note", {}, Actor("system", "test", "test"))
    journal.close()
    code, loaded = run(
        *command,
        "--playbooks",
        str(path),
        CLAMPDOWN_HOME=str(tmp_path / "home"),
    )
    assert code in {0, 2}
    assert not loaded & set(HEAVY)
    assert "sqlalchemy" in loaded


def test_this_test_would_notice_what_is_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LOADED.replace("from flows", "import boto3; from flows"), "[]"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert {"boto3", "botocore"} <= set(json.loads(done.stderr.splitlines()[-1])["modules"])


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_one_module_with_a_title_and_a_reason(name: str) -> None:
    step = STEPS[name]
    assert step.name == name
    module = sys.modules[step.__module__]
    assert [other for other in STEPS.values() if other.__module__ == module.__name__] == [step]
    assert inspect.getdoc(module)
    assert "__doc__" in vars(step)
    assert inspect.getdoc(step)
    title = step.title()
    assert title.endswith(".")
    assert 10 < len(title) <= 100
    # `ec2.isolate` is found in runbooks/ec2/isolate.py.
    assert module.__name__ == f"runbooks.{name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_named_for_what_it_does_and_says_what_that_is(path: Path) -> None:
    assert not {"utils", "util", "helpers", "helper", "manager", "common", "misc", "base"} & {
        *path.relative_to(ROOT).with_suffix("").parts
    }
    text = path.read_text(encoding="utf-8")
    assert text.lstrip().startswith('"""'), "it has no docstring"
