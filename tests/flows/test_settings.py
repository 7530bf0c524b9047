"""Settings come from the environment and the command line, and from nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.settings import Settings, load_settings
from runbooks.errors import InvalidInput


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("XDG_DATA_HOME", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def test_the_defaults_need_nothing(tmp_path: Path) -> None:
    settings = load_settings()
    home = tmp_path / "home" / ".local" / "share" / "clampdown"
    assert settings.home == home
    assert settings.journal_url == f"sqlite:///{home}/journal.db"
    assert settings.prefect_home == home / "prefect"
    assert settings.playbooks == Path("playbooks.yaml")
    assert (settings.simulate, settings.region, settings.parallel_steps) == ("", "", 16)


def test_state_is_where_the_desktop_standard_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert load_settings().home == Path("/data/clampdown")
    monkeypatch.setenv("CLAMPDOWN_HOME", "/elsewhere")
    assert load_settings().journal_url == "sqlite:////elsewhere/journal.db"


def test_the_environment_is_read_with_its_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAMPDOWN_JOURNAL", "postgresql+psycopg://h/db")
    monkeypatch.setenv("CLAMPDOWN_PLAYBOOKS", "other.yaml")
    monkeypatch.setenv("CLAMPDOWN_PARALLEL_STEPS", "4")
    monkeypatch.setenv("JOURNAL", "sqlite:///wrong.db")
    settings = load_settings()
    assert settings.journal_url == "postgresql+psycopg://h/db"
    assert settings.playbooks == Path("other.yaml")
    assert settings.parallel_steps == 4


def test_the_command_line_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAMPDOWN_PLAYBOOKS", "environment.yaml")
    monkeypatch.setenv("CLAMPDOWN_SIMULATE", "http://127.0.0.1:1")
    monkeypatch.setenv("CLAMPDOWN_REGION", "eu-west-1")
    settings = load_settings(
        playbooks=Path("given.yaml"), simulate="http://127.0.0.1:2", region="us-east-1"
    )
    assert settings.playbooks == Path("given.yaml")
    assert settings.simulate == "http://127.0.0.1:2"
    assert settings.region == "us-east-1"
    assert load_settings().playbooks == Path("environment.yaml")


def test_the_region_is_the_sdks_unless_clampdowns_own_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert load_settings().region == "us-west-2"
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert load_settings().region == "eu-central-1"
    monkeypatch.setenv("CLAMPDOWN_REGION", "eu-west-1")
    assert load_settings().region == "eu-west-1"


def test_a_dotenv_file_redirects_nothing(tmp_path: Path) -> None:
    # Whoever can leave a file in the working directory could redirect a run with it.
    (tmp_path / ".env").write_text(
        "CLAMPDOWN_SIMULATE=http://127.0.0.1:6\nCLAMPDOWN_JOURNAL=sqlite:////tmp/x.db\n"
    )
    settings = load_settings()
    assert settings.simulate == ""
    assert settings.journal == ""


@pytest.mark.parametrize("value", ["0", "65", "many", "1.5", "-1"])
def test_a_setting_that_can_not_be_is_named_as_it_is_set(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("CLAMPDOWN_PARALLEL_STEPS", value)
    with pytest.raises(InvalidInput, match="CLAMPDOWN_PARALLEL_STEPS is not valid") as failure:
        load_settings()
    assert failure.value.exit_code == 2
    assert "\n" not in str(failure.value)


def test_settings_hold_no_secret() -> None:
    # They go into Prefect's parameters and into error messages.
    words = ("secret", "token", "password", "key")
    assert not [name for name in Settings.model_fields if any(word in name for word in words)]
