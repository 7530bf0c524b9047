"""Scenario files are read strictly: all that is wrong at once, each with its line and column."""

from __future__ import annotations

import json
import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.gameday.aws.server import SimulatedAws
from flows.gameday.scenario import Condition, FindingInject, Milestone, Scenario
from flows.gameday.scenario_file import (
    InvalidScenario,
    load_scenario,
    parse_scenario,
    read_scenario,
    scenario_schema,
    shipped,
    validate_scenario,
    world_of,
)
from flows.gameday.scenario_meaning import OF
from flows.gameday.worlds import AccountWorld, World, build, load_world, read_world
from flows.gameday.worlds.names import names_in
from flows.intake.finding import Finding
from flows.intake.parse import parse as parse_findings
from flows.intake.route import Decision, Routed, choose
from runbooks.errors import InvalidInput
from runbooks.loader import load
from runbooks.yaml_problems import Problem
from runbooks.yaml_source import parse

ROOT = Path(__file__).parents[3]
SCENARIOS = ROOT / "flows" / "gameday" / "scenarios"
BANK = Path(__file__).parent / "worlds" / "bank.yaml"

SMALL = """\
version: 1
title: A beacon
purpose: To see it cut.
techniques: [T1071.001]
lasts: 30m
people:
  alice: {groups: [oncall], notices: {after: 2m, at_most: 5m}}
timeline:
  - at: 0s
    connection: {id: beacon, from: victim, to: 203.0.113.80}
  - at: 1m
    finding: {type: "Backdoor:EC2/C&CActivity.B", on: victim}
  - at: 2m
    person: {who: alice, does: start, target: victim}
objectives:
  - id: isolated-in-time
    title: It is isolated
    until: isolated
    within: 15m
  - {id: cut, title: The beacon is cut, holds: cut, of: [beacon]}
  - {id: others, title: Nothing else is touched, holds: untouched, of: [bystander]}
"""


def small(*changes: tuple[str, str], more: str = "") -> str:
    """The small file with texts replaced, each of which must be there, and more objectives."""
    text = SMALL
    for before, after in changes:
        assert before in text
        text = text.replace(before, after, 1)
    return text + more


def problems(document: str | bytes, folder: Path = SCENARIOS) -> list[str]:
    """Every problem as ``line:column: message``; empty for a valid file."""
    document = document.encode() if isinstance(document, str) else document
    found: tuple[Problem, ...] = ()
    try:
        parse_scenario(document, "s.yaml", folder)
    except InvalidScenario as error:
        found = error.problems or (Problem("an error without a problem", 0, 0, ""),)
    assert all(problem.file == "s.yaml" for problem in found)
    assert all("\n" not in problem.message for problem in found)
    return [f"{problem.line}:{problem.column}: {problem.message}" for problem in found]


def test_a_valid_file_is_read_with_what_it_leaves_out() -> None:
    scenario = parse_scenario(SMALL.encode(), "s.yaml", SCENARIOS)
    assert scenario.world == "small"
    assert scenario.playbook == "ec2-compromise"
    assert scenario.timeline[0].connection is not None
    assert scenario.timeline[0].connection.source == "victim"
    assert scenario.objectives[0].within == timedelta(minutes=15)


def test_a_scenario_is_the_same_after_it_was_written_as_json_and_read() -> None:
    for name in shipped():
        scenario = load_scenario(name)
        assert Scenario.model_validate_json(scenario.model_dump_json()) == scenario


def test_the_error_names_file_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(small(("holds: cut", "hold: cut")))
    with pytest.raises(InvalidScenario) as failure:
        read_scenario(path)
    assert f"{path}:20:41: unknown key 'hold'; did you mean 'holds'?" in str(failure.value)
    assert validate_scenario(path) == failure.value.problems
    path.write_text(SMALL)
    assert validate_scenario(path) == ()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("lasts:", "last:"), "5:1: unknown key 'last'; did you mean 'lasts'?"),
        (("groups:", "group:"), "7:11: unknown key 'group'; did you mean 'groups'?"),
        (("at_most:", "at_mos:"), "7:50: unknown key 'at_mos'; did you mean 'at_most'?"),
        (("connection:", "conection:"), "10:5: unknown key 'conection'; did you mean 'conn"),
        (("from:", "frm:"), "10:30: unknown key 'frm'; did you mean 'from'?"),
        (("type:", "typ:"), "12:15: unknown key 'typ'; did you mean 'type'?"),
        (("within:", "wihin:"), "19:5: unknown key 'wihin'; did you mean 'within'?"),
    ],
)
def test_a_misspelt_key_is_an_error_with_a_suggestion(
    change: tuple[str, str], problem: str
) -> None:
    found = problems(small(change))
    assert any(line.startswith(problem) for line in found), found
    # And what it was meant to be is not called missing as well.
    assert not [line for line in found if "is missing" in line]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("version: 1", "version: 2"), "1:10: version 2 is newer than this Clampdown knows; upg"),
        (("version: 1", "version: true"), "1:10: 'version' must be the whole number 1"),
        (("version: 1", "version: 1.0"), "1:10: 'version' must be the whole number 1"),
        (("version: 1\n", ""), "1:1: 'version' is missing"),
        (("title: A beacon", "title: 7"), "2:8: 'title' must be text, not 7"),
        (("T1071.001", "T107"), "4:14: 'techniques[0]' is not valid: 'T107'; it is a technique of"),
        (("lasts: 30m", "lasts: 30"), "5:8: 'lasts': a duration is written with d, h, m and s"),
        (("lasts: 30m", "lasts: 30m\nstart: 5"), "6:8: 'start' is a time such as 2026-03-02T09"),
        (("lasts: 30m", "lasts: 30m\nstart: noon"), "6:8: 'start' is a time such as 2026-03-02T"),
        (
            ("lasts: 30m", "lasts: 30m\nstart: 2026-03-02T09:00:00"),
            "6:8: 'start' is a time such as 2026-03-02T09:00:00Z, with its zone",
        ),
        (("alice:", "7 x:"), "7:3: the name '7 x' is not valid: letters, digits, dots"),
        (("on: victim", "on: victim, severity: high"), "12:73: 'severity' must be a number, not"),
        (
            ("on: victim", "on: victim, severity: 11"),
            "12:73: 'severity' must be at most 10, not 11",
        ),
        (("on: victim", "on: victim, copies: 0"), "12:71: 'copies' must be at least 1, not 0"),
        (("until: isolated", "until: isolatd"), "18:12: 'until' can't be isolatd; it is one of: n"),
        (("does: start", "does: dance"), "14:32: 'does' can't be dance; it is one of: approve"),
        (
            ("    finding: {type", "    dies: {}\n    finding: {type"),
            "11:5: an event is exactly one of finding, fault, attacker, connection, person and d",
        ),
        ((", on: victim", ""), "12:14: a finding is either `on` an instance of the world or abou"),
        (("    until: isolated\n", ""), "16:5: an objective has either `until` or `holds`"),
        (("    within: 15m\n", ""), "16:5: `until` and `within` belong together"),
    ],
)
def test_what_has_the_wrong_form(change: tuple[str, str], problem: str) -> None:
    found = problems(small(change))
    assert any(line.startswith(problem) for line in found), found
    assert len(found) <= 2, found


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            ("lasts:", "world: smal\nlasts:"),
            "5:8: There is no world 'smal'; did you mean 'small'?",
        ),
        (("lasts:", "world: ../worlds/small\nlasts:"), "5:8: There is no world '../worlds/small'"),
        (("lasts:", "world: none.yaml\nlasts:"), "5:8: The world"),
        (("at: 2m", "at: 31m"), "13:9: 'at' is later than the scenario lasts (30m)"),
        (("on: victim", "on: victm"), "12:55: there is no instance of the world 'victm'; did you "),
        (("on: victim", "on: vpc"), "12:55: there is no instance of the world 'vpc'"),
        (
            ("on: victim", "on: victim, remote: evil.example"),
            "12:71: 'evil.example' is no IP address",
        ),
        (("from: victim", "from: nobody"), "10:36: there is no instance of the world or interface"),
        (("to: 203.0.113.80", "to: 203.0.113"), "10:48: there is no instance of the world or inte"),
        (("who: alice", "who: alic"), "14:19: there is no person of `people` 'alic'; did you mean"),
        (("target: victim", "target: alb"), "14:47: there is no instance of the world 'alb'"),
        ((", target: victim", ""), "14:5: whoever starts a playbook gives its `target`"),
        (("at_most: 5m", "at_most: 1m"), "7:59: 'at_most' is less than the median `after` (2m)"),
        (("within: 15m", "within: 30m"), "19:13: the scenario is over before that (30m, and the "),
        (
            ("within: 15m", "within: 15m\n    finding: findng"),
            "20:14: there is no finding in the timeline 'findng'; did you mean 'finding'?",
        ),
        (
            ("within: 15m", "within: 15m\n    of: [victim]"),
            "20:5: 'of' belongs to `holds`; `until` has `finding`",
        ),
        (("of: [beacon]", "of: [becon]"), "20:58: there is no connection in the timeline 'becon'"),
        (("of: [bystander]", "of: [beacon]"), "21:73: there is no thing of the world 'beacon'"),
        ((", of: [beacon]", ""), "20:5: 'of' is missing: of which connection in the timeline doe"),
        (("id: cut", "id: others"), "21:10: the id 'others' is taken (line 20)"),
    ],
)
def test_what_can_not_be_meant(change: tuple[str, str], problem: str) -> None:
    (found,) = problems(small(change))
    assert found.startswith(problem)


def test_a_scenario_lasts() -> None:
    assert "5:8: 'lasts' must be longer than 0s" in problems(small(("lasts: 30m", "lasts: 0s")))


def test_a_condition_of_the_whole_takes_no_names() -> None:
    line = "  - {id: j, title: It verifies, holds: journal_verifies, of: [victim]}\n"
    assert problems(SMALL + line) == ["22:58: 'journal_verifies' is of the whole; leave `of` out"]
    assert problems(SMALL + line.replace(", of: [victim]", "")) == []


def test_an_update_of_a_finding_is_of_the_same_thing() -> None:
    update = '  - at: 3m\n    finding: {type: "Backdoor:EC2/C&CActivity.B", on: bystander}\n'
    found = problems(small(("objectives:", f"{update}objectives:")))
    assert found == [
        "16:55: a second finding 'finding' is an update of that on line 12, of which `on` is "
        "another; give this one an `id` of its own"
    ]
    assert (
        problems(small(("objectives:", f"{update.replace('bystander', 'victim')}objectives:")))
        == []
    )


def test_a_second_connection_of_the_same_id_is_refused() -> None:
    event = "  - at: 3m\n    connection: {id: beacon, from: bystander, to: 198.51.100.1}\n"
    (found,) = problems(small(("objectives:", f"{event}objectives:")))
    assert found == "16:22: the id 'beacon' is taken (line 10)"


def test_the_orchestrator_is_back_before_the_end() -> None:
    event = "  - at: 29m\n    dies: {back_after: 2m}\n"
    (found,) = problems(small(("objectives:", f"{event}objectives:")))
    assert found == "16:24: the orchestrator would be back after the scenario is over (30m)"


def test_a_place_in_a_resource_names_something_of_the_world() -> None:
    about = 'resource: {ResourceType: AccessKey, AccessKeyDetails: {UserName: "${rol}"}}'
    (found,) = problems(small(("on: victim", about)))
    assert found.startswith("12:116: there is no thing of the world 'rol'; did you mean 'role'?")
    assert problems(small(("on: victim", about.replace("rol}", "role}")))) == []


def test_a_world_beside_the_file_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bank.yaml").write_bytes(BANK.read_bytes())
    instance = next(iter(names_in(read_world(BANK)).instances))
    text = small(("lasts:", "world: bank.yaml\nlasts:"))
    path = tmp_path / "raid.yaml"
    path.write_text(text.replace("victim", instance).replace("bystander", instance))
    monkeypatch.chdir(tmp_path)
    scenario = read_scenario(Path("raid.yaml"))
    monkeypatch.chdir("/")
    assert isinstance(world_of(scenario), AccountWorld)
    path.write_text(text)
    assert {problem.line for problem in validate_scenario(path)} == {11, 13, 15, 22}


def test_what_is_wrong_in_the_world_is_said_where_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text("region: eu-west-1\ncidr: [\n")
    (found,) = problems(small(("lasts:", "world: odd.yaml\nlasts:")), tmp_path)
    assert found.startswith("5:8: odd.yaml:3: this is not YAML")


@pytest.mark.parametrize(
    "text", ["", "# only comments\n", "hello", "- a\n", "\xff".encode("latin1")]
)
def test_what_is_no_scenario_at_all(text: str | bytes) -> None:
    (found,) = problems(text)
    assert found.startswith("1:1: ")


def test_what_can_not_be_read_is_said_with_its_path(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.yaml", Path("/dev/zero"), Path("a\x00b")):
        (problem,) = validate_scenario(path)
        assert problem.file == str(path)
        assert "can't be read: " in problem.message


def test_a_name_that_does_not_ship_lists_those_that_do() -> None:
    with pytest.raises(InvalidInput, match=r"There is no scenario '../x'.*crypto-mining"):
        load_scenario("../x")


@given(st.binary(max_size=400))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_refused_in_words(document: bytes) -> None:
    assert problems(document)


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text("a${}:é"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items: Any = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        items = enumerate(value)
    found = [path] if path else []
    for key, item in items:
        found += places(item, (*path, key))
    return found


@given(st.data())
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_value_anywhere_is_accepted_or_refused_in_words(data: st.DataObject) -> None:
    document = parse(SMALL.encode()).data
    where = data.draw(st.sampled_from(places(document)))
    node = document
    for part in where[:-1]:
        node = node[part]
    node[where[-1]] = data.draw(VALUES)
    found = problems(json.dumps(document, ensure_ascii=False))
    assert all(re.match(r"1:\d+: \S", line) for line in found)


@given(st.integers(0, len(SMALL)), st.integers(0, 30), st.text("[]{}:,&*- \n'\"é", max_size=4))
@settings(max_examples=250, deadline=None)
def test_any_slip_of_the_pen_is_accepted_or_refused_in_words(
    at: int, length: int, typed: str
) -> None:
    problems(SMALL[:at] + typed + SMALL[at + length :])


# The names of a world


@pytest.mark.parametrize("which", ["small", "bank"])
def test_names_are_those_that_the_world_has_once_it_is_built(
    which: str, simulated_aws: SimulatedAws
) -> None:
    world: World | AccountWorld = load_world() if which == "small" else read_world(BANK)
    built = build(world, simulated_aws.url).ids
    names = names_in(world)
    assert sorted(names.all) == sorted(built)
    assert {name for name, identity in built.items() if identity.startswith("i-")} == set(
        names.instances
    )


# What ships

PLAYBOOKS = load(ROOT / "playbooks.yaml")


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_scenario_is_valid_and_about_this_repositorys_playbook(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.playbook in PLAYBOOKS.playbooks
    assert scenario.techniques
    assert all(objective.controls for objective in scenario.objectives)
    groups = {group for person in scenario.people.values() for group in person.groups}
    assert groups <= set(PLAYBOOKS.approvers)
    assert schema_problems((SCENARIOS / f"{name}.yaml").read_bytes()) == []


def as_found(inject: FindingInject) -> Finding:
    """The finding as it comes in, about an instance of which only the id is told."""
    instance, account, region = "i-0123456789abcdef0", "123456789012", "eu-west-1"
    about = {"ResourceType": "Instance", "InstanceDetails": {"InstanceId": instance}}
    resource = re.sub(r"\$\{\w+\}", instance, json.dumps(inject.resource or about))
    whole = {
        "AccountId": account,
        "Region": region,
        "Partition": "aws",
        "Id": "f" * 32,
        "Arn": f"arn:aws:guardduty:{region}:{account}:detector/{'d' * 32}/finding/{'f' * 32}",
        "Type": inject.type,
        "Severity": inject.severity,
        "CreatedAt": "2026-03-02T09:00:00.000Z",
        "UpdatedAt": "2026-03-02T09:00:00.000Z",
        "Resource": json.loads(resource),
        "Service": {"ResourceRole": inject.role, "Archived": False},
    }
    (found,) = parse_findings(json.dumps(whole).encode())
    return found


def routed(inject: FindingInject) -> Decision:
    targets = {name: playbook.target for name, playbook in PLAYBOOKS.playbooks.items()}
    account = PLAYBOOKS.accounts["123456789012"]
    found = as_found(inject)
    return choose(PLAYBOOKS.routes, found, account, {}, target_kinds=targets, live=False)


@pytest.mark.parametrize("name", shipped())
def test_objectives_expect_of_findings_what_the_routes_do_with_them(name: str) -> None:
    scenario = load_scenario(name)
    expected = {
        finding: objective.holds for objective in scenario.objectives for finding in objective.of
    }
    started = {event.person.target for event in scenario.timeline if event.person}
    for event in scenario.timeline:
        if not event.finding or not event.finding.confirmed:
            continue
        decision = routed(event.finding)
        match expected.get(event.finding.id):
            case "not_opened":
                assert not isinstance(decision, Routed)
            case "proposed":
                assert isinstance(decision, Routed)
                assert decision.mode == "propose"
            case _:
                assert isinstance(decision, Routed)
                # Nothing would come of a proposal that nobody starts.
                assert decision.mode == "automatic" or started


def test_what_the_issue_asks_for_ships() -> None:
    assert {
        "crypto-mining",
        "c2-beacon",
        "ssh-brute-force-target",
        "stolen-role-credentials",
        "leaked-access-key",
        "public-bucket",
        "noisy-flood",
        "shared-role",
        "approver-missing",
        "orchestrator-dies",
    } <= set(shipped())


def test_the_wheel_has_the_scenarios() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    # Hatch takes all files of a package that Git does not ignore.
    assert "flows" in wheel["packages"]
    assert not {"include", "exclude", "only-include"} & set(wheel)


def test_every_condition_is_known() -> None:
    assert set(OF) == set(get_args(Condition))


# The schema


def schema_problems(document: str | bytes) -> list[str]:
    # Not by PyYAML, to which `on` is true.
    data = parse(document.encode() if isinstance(document, str) else document).data
    schema = scenario_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(data)]


def test_the_schema_accepts_what_is_valid() -> None:
    assert schema_problems(SMALL) == []


@pytest.mark.parametrize(
    "change",
    [
        ("lasts:", "last:"),
        ("from:", "frm:"),
        ("alice:", "7 x:"),
        ("on: victim", "on: victim, severity: 11"),
        (", on: victim", ""),
        ("to: 203.0.113.80", "to: 203.0.113.80, destination: 203.0.113.80"),
        ("until: isolated", "until: isolatd"),
        ("    within: 15m", "    within: 15"),
        ("    finding: {type", "    dies: {}\n    finding: {type"),
    ],
)
def test_the_schema_refuses_what_is_wrong(change: tuple[str, str]) -> None:
    assert schema_problems(small(change))
    assert problems(small(change))


def test_the_schema_that_editors_are_sent_to_is_the_present_one() -> None:
    for name in shipped():
        first = (SCENARIOS / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
        file = (SCENARIOS / first.partition("$schema=")[2]).resolve()
        assert file == ROOT / "docs" / "scenario.schema.json"
    present = json.loads((ROOT / "docs" / "scenario.schema.json").read_text(encoding="utf-8"))
    assert present == scenario_schema(), "run `make docs`"


# The document about it

GUIDE = (ROOT / "docs" / "gamedays.md").read_text(encoding="utf-8")


def test_the_example_of_the_guide_is_valid_and_its_error_is_what_is_said() -> None:
    example = GUIDE.partition("```yaml\n")[2].partition("```")[0]
    assert problems(example) == []
    said = GUIDE.partition("```\nbeacon.yaml:")[2].partition("\n")[0]
    assert problems(example.replace("on: victim", "on: victm")) == [said]


def test_the_guide_names_everything_that_a_scenario_can_have() -> None:
    writing = GUIDE.partition("## Writing a scenario")[2].partition("\n## ")[0]
    schema = scenario_schema()
    keys = {key for part in schema["$defs"].values() for key in part.get("properties", {})}
    keys -= set(schema["$defs"]["Fault"]["properties"])
    # Either name of a connection's ends will do.
    keys -= {"source", "destination"}
    words = {*keys, *schema["properties"], *get_args(Condition), *get_args(Milestone)}
    for part, key in (("AttackerInject", "does"), ("PersonInject", "does"), ("Fault", "effect")):
        words |= set(schema["$defs"][part]["properties"][key]["enum"])
    assert {word for word in words if not re.search(rf"\b{word}\b", writing)} == set()
