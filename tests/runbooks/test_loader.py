"""playbooks.yaml is loaded strictly: everything that is wrong at once, each with its place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runbooks.loader import InvalidPlaybooks, Problem, json_schema, load, loads
from runbooks.registry import STEPS
from tests.runbooks.playbook_files import SMALL, accepted, problems, small

ROOT = Path(__file__).parents[2]
PROTECT = "- step: ec2.protect"
GATE = "approve: {id: contain, by: oncall}"


def test_a_valid_file_is_loaded_with_the_digest_of_its_bytes() -> None:
    loaded = accepted(SMALL)
    assert [step.id for step in loaded.playbooks["compromise"].run_steps()] == [
        "ec2.protect",
        "ec2.isolate",
    ]
    assert len(loaded.digest) == 64
    assert accepted(SMALL + "# a comment\n").digest != loaded.digest


# RELIABILITY.md, section 5: bad inputs 1 to 18.


@pytest.mark.parametrize("text", ["", "# only comments\n", "---\n", "\n\n", "--- \n...\n"])
def test_1_an_empty_file(text: str) -> None:
    assert problems(text) == ["1:1: the file is empty"]


@pytest.mark.parametrize("text", ["hello", "- a\n", "5", "null", "'x'"])
def test_1_a_file_that_is_no_mapping(text: str) -> None:
    (problem,) = problems(text)
    assert "1:1: the file" in problem


def test_2_two_documents() -> None:
    assert problems(SMALL + "---\nversion: 1\n") == [
        "16:1: a second document (---); there may be only one"
    ]


def test_3_tabs() -> None:
    assert problems(small(("    title", "\ttitle"))) == ["9:1: a tab can't indent YAML; use spaces"]


def test_4_a_duplicate_key() -> None:
    document = small((GATE, "approve: {id: contain, by: oncall, quorum: 2, quorum: 1}"))
    assert problems(document) == ["13:55: the key 'quorum' stands here twice (first on line 13)"]


def test_5_a_tag() -> None:
    (problem,) = problems(small(("version: 1", "version: !!python/object/apply:os.system [id]")))
    assert problem.startswith("1:10: a tag (tag:yaml.org,2002:python/object/apply:os.system)")


def test_6_anchors_and_aliases() -> None:
    assert problems(small(("title: Compromised instance", "title: &t [*t]"))) == [
        "9:12: an anchor (&t); write it out where it is used",
        "9:16: an alias (*t); write it out",
    ]


def test_8_nesting_without_end() -> None:
    assert problems("a: " + "{a: " * 5_000) == ["1:128: nested deeper than 32 levels"]
    assert len(problems("[" * 5_000)) == 1


def test_9_a_number_without_end() -> None:
    assert problems(small(("version: 1", "version: " + "9" * 5_000))) == [
        "1:10: a number of more than 18 digits; quote it"
    ]


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (SMALL.encode("utf-16"), "1:1: the file is UTF-16; it must be UTF-8"),
        (SMALL.encode().replace(b"payments", b"p\xffy"), "3:27: the file is not UTF-8 here"),
        (SMALL.encode().replace(b"payments", b"p\x00y"), "3:27: a control character (U+0000)"),
        (SMALL.encode().replace(b"payments", b"p\x1by"), "3:27: a control character (U+001B)"),
        (small(("payments", "p\u202ey")).encode(), "3:27: a control character (U+202E)"),
    ],
)
def test_10_bytes_that_are_no_plain_text(document: bytes, problem: str) -> None:
    (found,) = problems(document)
    assert found.startswith(problem)


def test_10_a_byte_order_mark_is_accepted() -> None:
    assert problems(b"\xef\xbb\xbf" + SMALL.encode()) == []


def test_11_a_huge_document() -> None:
    assert problems(b"#" * 50_000_000) == ["1:1: the file is larger than 256 KiB"]


@pytest.mark.parametrize("kind", ["nothing", "directory", "fifo", "device", "nul"])
def test_11_what_is_no_file_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "playbooks.yaml"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "nul":
        path = Path("play\x00books.yaml")
    with pytest.raises(InvalidPlaybooks) as failure:
        load(path)
    (problem,) = failure.value.problems
    assert (problem.line, problem.column, problem.file) == (1, 1, str(path))
    assert "can't be read: " in problem.message
    assert "give --playbooks FILE or set CLAMPDOWN_PLAYBOOKS" in problem.message


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ([('"111122223333"', "011122223333")], "3:3: the key 011122223333 is not a string; acc"),
        ([('"111122223333"', "111122223333")], "3:3: the key 111122223333 is not a string; acc"),
        ([('"111122223333"', '"1111222233"')], "3:3: the key '1111222233' is not valid: an acc"),
        ([("version: 1", "version: on")], "1:10: 'version' must be the whole number 1"),
        ([("version: 1", "version: true")], "1:10: 'version' must be the whole number 1"),
        ([("version: 1", "version: 1.0")], "1:10: 'version' must be the whole number 1"),
        ([("version: 1", "version: '1'")], "1:10: 'version' must be the whole number 1"),
        ([("version: 1", "version: .nan")], "1:10: .nan is no number that can be used here"),
        ([("version: 1", "version: 1e999")], "1:10: 1e999 is no number that can be used here"),
        (
            [("eu-west-1", "22:22")],
            "3:71: 'regions[0]' is not valid: '22:22'; it is a Region such as",
        ),
        ([("name: payments", "name: 7")], "3:26: 'name' must be text, not 7"),
        ([("name: payments", "name: true")], "3:26: 'name' must be text, not True"),
        ([(GATE, GATE[:-1] + ", quorum: 1e0}")], "13:52: 'quorum' must be a whole number, not 1.0"),
        ([(GATE, GATE[:-1] + ", quorum: yes}")], "13:52: 'quorum' must be a whole number, not 'y"),
    ],
)
def test_12_what_yaml_might_read_as_something_else(
    changes: list[tuple[str, str]], problem: str
) -> None:
    assert any(found.startswith(problem) for found in problems(small(*changes)))


def test_12_words_that_yaml_once_took_for_booleans_are_words() -> None:
    account = accepted(small(("environment: production", "environment: off"))).accounts
    assert account["111122223333"].environment == "off"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("approvers:", "aprovers:"), "4:1: unknown key 'aprovers'; did you mean 'approvers'?"),
        (("approve:", "aproval:"), "13:9: unknown key 'aproval'; did you mean 'approve'?"),
        (
            ("by: oncall", "by: oncall, quorm: 2"),
            "13:44: unknown key 'quorm'; did you mean 'quorum'?",
        ),
        (("        with:", "        wiht:"), "15:9: unknown key 'wiht'; did you mean 'with'?"),
        (
            ("tracked_connections:", "traked_connections:"),
            "15:16: unknown key 'traked_connections'; did you mean 'tracked_connections'?",
        ),
        (("regions:", "region:"), "3:61: unknown key 'region'; did you mean 'regions'?"),
        (
            ("local_users: [c", "locl_users: [c"),
            "6:11: unknown key 'locl_users'; did you mean 'local",
        ),
        (("target: ec2", "targt: ec2"), "10:5: unknown key 'targt'; did you mean 'target'?"),
    ],
)
def test_13_a_misspelt_key_is_an_error_with_a_suggestion(
    change: tuple[str, str], problem: str
) -> None:
    found = problems(small(change))
    assert problem in found[0]
    # And what it was meant to be is not called missing as well.
    assert not [text for text in found if "is missing" in text]


def test_13_an_unknown_key_that_resembles_nothing_lists_what_there_is() -> None:
    assert problems(SMALL + "zzz: 1\n") == [
        "16:1: unknown key 'zzz'; there is accounts, approvers, guardrails, playbooks, routes, "
        "slack, teams, version"
    ]
    assert "unknown key 'digest'" in problems(SMALL + "digest: x\n")[0]


def test_14_an_unknown_step_is_an_error_with_a_suggestion() -> None:
    assert problems(small(("ec2.isolate", "ec2.isolat"))) == [
        "14:15: there is no step 'ec2.isolat'; did you mean 'ec2.isolate'?"
    ]


def test_14_an_unknown_kind_of_gate_is_refused() -> None:
    for kind in ("vote", "ask_slack", "servicenow_approval"):
        (problem,) = problems(small(("approve:", f"{kind}:")))
        assert problem.startswith(f"13:9: unknown key '{kind}'")
    (problem,) = problems(small((GATE, GATE[:-1] + ", step_up: sms}")))
    assert problem == "13:53: 'step_up' can't be sms; it is one of: totp"


@pytest.mark.parametrize("version", [2, 99])
def test_14_a_newer_file_is_left_to_a_newer_clampdown(version: int) -> None:
    document = small(("version: 1", f"version: {version}"), ("ec2.isolate", "ec2.of_the_future"))
    assert problems(document) == [
        f"1:10: version {version} is newer than this Clampdown knows; upgrade it"
    ]


def test_15_no_steps_and_too_many() -> None:
    assert problems(SMALL.split("    steps:")[0] + "    steps: []\n") == ["11:12: 'steps' is empty"]
    many = "".join(f"      - {{step: ec2.snapshot, id: t{n}}}\n" for n in range(300))
    assert problems(SMALL + many) == ["12:7: 'steps' is too long; at most 200 are allowed"]
    (problem,) = problems(SMALL + "      - step: ec2.tag\n" * 10_000)
    assert "more than 10000 values" in problem


def test_15_an_id_that_is_taken() -> None:
    assert problems(SMALL + f"      {PROTECT}\n") == [
        "16:9: the id 'ec2.protect' is taken (line 12); give this one an `id` of its own"
    ]
    assert problems(SMALL + "      - {step: ec2.snapshot, id: contain}\n")[0].startswith(
        "16:9: the id 'contain' is taken (line 13)"
    )
    assert problems(SMALL + "      - {step: ec2.protect, id: again}\n") == []


def test_15_steps_can_not_go_round_in_circles() -> None:
    # Steps run in the order in which they stand; a step sees the outputs of earlier ones only.
    document = small(
        (
            PROTECT,
            f"{PROTECT}\n      - {{step: ec2.tag, with: {{tags: {{a: '${{steps.ec2.isolate.x}}'}}}}}}",
        )
    )
    assert problems(document) == [
        "13:42: ${steps.ec2.isolate.x} names no earlier step of this playbook"
    ]
    document = SMALL + "      - {step: ec2.tag, with: {tags: {a: '${steps.ec2.tag.x}'}}}\n"
    assert "names no earlier step" in problems(document)[0]


def test_15_steps_side_by_side_do_not_see_each_others_outputs() -> None:
    block = (
        "      - parallel:\n"
        "          - step: ec2.snapshot\n"
        "          - {step: ec2.tag, with: {tags: {a: '${steps.ec2.snapshot.x}'}}}\n"
    )
    assert problems(SMALL + block) == [
        "18:46: ${steps.ec2.snapshot.x} names no earlier step of this playbook"
    ]
    after = "      - {step: ec2.tag, id: t, with: {tags: {a: '${steps.ec2.snapshot.x}'}}}\n"
    sequence = "      - parallel: [{step: ec2.snapshot}]\n"
    assert problems(SMALL + sequence + after) == []


def test_15_parallel_blocks_hold_steps_only() -> None:
    found = problems(SMALL + "      - parallel: [{parallel: [{step: ec2.tag}]}]\n")
    assert any("unknown key 'parallel'" in problem for problem in found)
    found = problems(SMALL + f"      - parallel: [{{{GATE.replace('contain', 'inner')}}}]\n")
    assert any("unknown key 'approve'" in problem for problem in found)
    assert problems(SMALL + "      - parallel: []\n") == ["16:19: 'parallel' is empty"]


def test_16_a_disruptive_step_without_a_gate() -> None:
    assert problems(small((f"      - {GATE}\n", ""))) == [
        "13:15: ec2.isolate takes something down and stands behind no gate; "
        "put an `approve` before it"
    ]


def test_16_a_gate_after_the_disruptive_step() -> None:
    document = small((f"      - {GATE}\n", ""), more=f"      - {GATE}\n")
    assert problems(document)[0].startswith("13:15: ec2.isolate takes something down")


def tagged(value: str) -> str:
    return SMALL + f"      - step: ec2.tag\n        with:\n          tags: {{a: {value}}}\n"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("'${findng.id}'", "18:21: ${findng.id}: there is no 'findng'; there is finding, target,"),
        ("'${env.HOME}'", "18:21: ${env.HOME}: there is no 'env'; there is finding, target,"),
        ("'${steps.nope.x}'", "18:21: ${steps.nope.x} names no earlier step of this playbook"),
        ("'${steps.contain.x}'", "18:21: ${steps.contain.x} names no earlier step"),
        ("'${ finding.id }'", "18:21: ${ finding.id } is not a path such as ${finding.id}"),
        ("'${finding..id}'", "18:21: ${finding..id} is not a path"),
        ("'${}'", "18:21: ${} is not a path"),
        ("'${finding.id'", "18:21: a `${` that names no path; a dollar itself is written $$"),
        ("[x]", "18:21: 'a' must be text, not ['x']"),
        ("", "18:21: 'a' must be text, not nothing"),
        ("7", "18:21: 'a' must be text, not 7"),
    ],
)
def test_17_a_look_up_or_a_value_that_can_not_be(value: str, problem: str) -> None:
    (found,) = problems(tagged(value))
    assert found.startswith(problem)


@pytest.mark.parametrize(
    "value",
    [
        "'${finding.id}'",
        "'${steps.ec2.protect.x}'",
        "'${steps.\"ec2.protect\".x}'",
        "'$${x}'",
        "5$",
    ],
)
def test_17_a_look_up_that_can_be(value: str) -> None:
    assert problems(tagged(value)) == []


@pytest.mark.parametrize("timeout", ["0s", "-5m", "31d", "999999d", "99999999999d", "5", "soon"])
def test_18_a_timeout_that_can_not_be(timeout: str) -> None:
    (problem,) = problems(small((PROTECT, f"{PROTECT}\n        timeout: {timeout}")))
    assert problem.startswith("13:")
    assert "'timeout'" in problem


@pytest.mark.parametrize("value", ["0", "-1", "all", "1.5", "true", "100001", "99999999999999999"])
def test_18_a_budget_that_can_not_be(value: str) -> None:
    document = SMALL + f"guardrails: {{budgets: {{targets_per_incident: {value}}}}}\n"
    (problem,) = problems(document)
    assert problem.startswith("16:46: 'targets_per_incident' must be ")


# Gates


@pytest.mark.parametrize("answer", ["proceed", "approve", "continue", "resume"])
def test_no_answer_never_means_yes(answer: str) -> None:
    other = f"      - approve: {{id: more, by: leads, otherwise: {answer}}}\n"
    document = small((GATE, GATE[:-1] + f", otherwise: {answer}}}"), more=other)
    assert problems(document) == [
        "13:55: no answer never means yes: `otherwise` is deny or escalate",
        "16:51: no answer never means yes: `otherwise` is deny or escalate",
    ]


@pytest.mark.parametrize(
    ("gate", "problem"),
    [
        (
            "{id: c, by: oncal}",
            "14:30: there is no group 'oncal' under `approvers`; did you mean 'oncall'?",
        ),
        (
            "{id: c, by: oncall, quorum: 4}",
            "14:46: 4 of 'oncall' can never decide: it has 3 member(s)",
        ),
        (
            "{id: c, by: leads, quorum: 2}",
            "14:45: 2 of 'leads' can never decide: it has 1 member(s)",
        ),
        (
            "{id: c, by: nobody}",
            "14:30: the group 'nobody' has no members: nobody could ever decide",
        ),
        (
            "{id: c, any_of: [{group: leads, count: 2}]}",
            "14:57: 2 of 'leads' can never decide: it has 1 member(s)",
        ),
        ("{id: c, any_of: [{group: oncal}]}", "14:43: there is no group 'oncal' under `approvers`"),
        ("{id: c, by: leads, deny_at: 2}", "14:46: 2 can never deny: the gate has 1 member(s)"),
        ("{id: c, by: leads, quorum: 0}", "14:45: 'quorum' must be at least 1, not 0"),
        ("{id: c, by: leads, any_of: [{group: leads}]}", "names its approvers with `by` or with"),
        ("{id: c}", "names its approvers with `by` or with `any_of`, one of both"),
        ("{id: c, by: leads, otherwise: escalate}", "`escalate_to` go together"),
        ("{id: c, by: leads, otherwise: escalate, escalate_to: nope}", "no group 'nope'"),
        ("{id: c, by: leads, otherwise: escalate, escalate_to: nobody}", "has no members"),
        ("{id: c, by: leads, break_glass: nope}", "there is no group 'nope'"),
        ("{id: c, by: leads, notify: [nope]}", "there is no group 'nope'"),
        ("{id: c, by: leads, within: 0s}", "'within' must be longer than 0s"),
        ("{by: leads}", "'id' is missing"),
        ("{id: '7 x', by: leads}", "'id' is not valid"),
    ],
)
def test_a_gate_that_nobody_could_decide_is_refused(gate: str, problem: str) -> None:
    document = small((GATE, f"approve: {gate}"), ("  leads:", "  nobody: {}\n  leads:"))
    assert any(problem in found for found in problems(document))


def test_a_group_without_members_may_be_told() -> None:
    document = small(
        (GATE, GATE[:-1] + ", notify: [nobody]}"), ("  leads:", "  nobody: {}\n  leads:")
    )
    assert problems(document) == []


def test_a_user_group_may_be_as_many_people_as_a_gate_asks_for() -> None:
    group = ("  leads:", "  unseen: {slack_team: T1, slack_usergroup: S0615G0KT}\n  leads:")
    gate = f"{GATE[:-1]}, deny_at: 3}}".replace("by: oncall", "by: unseen, quorum: 7")
    assert problems(small((GATE, gate), group)) == []


@pytest.mark.parametrize(
    ("slack", "problem"),
    [
        ("{}", "16:1: 'channel' is missing"),
        ("{channel: '#incidents'}", "16:18: 'channel' is not valid"),
        ("{channel: C0INCIDENT, triggers: [oncal]}", "there is no group 'oncal' under `approvers`"),
        (
            "{channel: C0INCIDENT, by_severity: [{severity: high, channel: C0INCIDENT}]}",
            "'severity' must be a comparison",
        ),
        ("{channel: C0INCIDENT, chanel: x}", "did you mean 'channel'?"),
    ],
)
def test_places_in_slack_that_can_not_be(slack: str, problem: str) -> None:
    found = problems(f"{SMALL}slack: {slack}\n")
    assert any(problem in line for line in found), found


@pytest.mark.parametrize(
    ("teams", "problem"),
    [
        ("{shop: {approvers: oncal}}", "there is no group 'oncal' under `approvers`"),
        ("{shop: {channel: '#shop'}}", "'channel' is not valid"),
        ("{shop: {chanel: C0SHOP000}}", "did you mean 'channel'?"),
    ],
)
def test_teams_that_can_not_be(teams: str, problem: str) -> None:
    found = problems(f"{SMALL}teams: {teams}\n")
    assert any(problem in line for line in found), found


def test_slack_users_without_their_workspace_could_never_decide() -> None:
    (problem,) = problems(small(("slack_team: T1, ", "")))
    assert problem == "5:11: 'oncall': `slack_users` are known by their `slack_team`; it is missing"


@pytest.mark.parametrize(
    ("when", "problem"),
    [
        ("target.tags.x = 'y'", "13:29: the condition can't be read: Unknown token '='"),
        ("\"target.tags.x = 'y'\"", "13:30: the condition can't be read: Unknown token '='"),
        ("tarket.x", "13:15: the condition can't be read: there is no 'tarket' to look into"),
        (
            "target.x == foo(target.y)",
            "13:27: the condition can't be read: there is no function foo",
        ),
        ("'!target.x'", "13:16: the condition can't be read: ! takes only the name after it"),
        ("steps.nope.x", "13:15: steps.nope.x names no earlier step"),
        (
            "steps.ec2.snapshot.x",
            "13:15: steps.ec2.snapshot.x names no earlier step; it is written",
        ),
        ("7", "13:15: 'when' must be text, not 7"),
        ("''", "13:16: the condition can't be read"),
    ],
)
def test_a_condition_that_can_not_be_read_is_said_with_its_place(when: str, problem: str) -> None:
    found = problems(small((PROTECT, f"{PROTECT}\n        when: {when}")))
    assert found[0].startswith(problem)


def test_a_condition_may_look_at_the_outputs_of_an_earlier_step() -> None:
    more = "      - step: ec2.snapshot\n        when: 'steps.\"ec2.protect\".done'\n"
    assert problems(SMALL + more) == []


@pytest.mark.parametrize("when", ["'`false`'", "\"'a' == 'b'\"", "'`1` > `2`'"])
def test_a_gates_condition_that_looks_at_nothing_is_refused(when: str) -> None:
    (problem,) = problems(small((GATE, f"{GATE}\n        when: {when}")))
    assert problem == "14:15: this gate's condition looks at nothing; leave `when` out"


# Accounts, routes, groups


@pytest.mark.parametrize(
    ("account", "problem"),
    [
        ("{name: p, environment: e, role: nope}", "'role' is not valid: 'nope'; it is an IAM role"),
        (
            "{name: p, environment: e, role: 'arn:aws:iam::999999999999:role/clampdown'}",
            "3:51: the role belongs to another account than 111122223333",
        ),
        ("{environment: e}", "3:3: 'name' is missing"),
        ("{name: p, environment: e, regions: [x]}", "it is a Region such as eu-west-1"),
        ("nope", "must be a mapping"),
    ],
)
def test_an_account_that_can_not_be(account: str, problem: str) -> None:
    before = "{name: payments, environment: production, regions: [eu-west-1]}"
    assert any(problem in found for found in problems(small((before, account))))


def test_a_route_that_leads_nowhere() -> None:
    routes = (
        "routes:\n  - match: {source: guardduty, severity: high}\n"
        "    playbook: compromize\n    mode: auto\n"
    )
    assert problems(SMALL + routes) == [
        "17:42: 'severity' must be a comparison with GuardDuty's scale of 0 to 10, such as '>= 7'",
        "18:15: there is no playbook 'compromize'; did you mean 'compromise'?",
        "19:11: 'mode' can't be auto; it is one of: automatic, propose, shadow",
    ]


def test_every_error_is_said_at_once() -> None:
    document = small(
        ("regions: [eu-west-1]", "regions: [nowhere]"),
        ("local_users: [carol]", "local_user: [carol]"),
        ("title: Compromised instance", "titel: Compromised instance"),
        (PROTECT, "- step: ec2.protct"),
        ("by: oncall", "by: oncal"),
        ("untrack", "maybe"),
    )
    assert [problem.split(":")[0] for problem in problems(document)] == [
        "3",
        "6",
        "9",
        "12",
        "13",
        "15",
    ]


def test_parameters_of_a_step_are_held_against_its_own_model() -> None:
    (problem,) = problems(small(("untrack", "maybe")))
    assert problem == (
        "15:37: 'tracked_connections' can't be maybe; it is one of: deny_remote_ips, untrack, leave"
    )
    (problem,) = problems(small(("with: {tracked_connections: untrack}", "with: [1]")))
    assert problem == "15:15: 'with' must be a mapping, not [1]"
    assert problems(small(("untrack", "'${finding.id}'"))) == []


def test_a_problem_is_a_line_for_editors_and_a_document_for_programs() -> None:
    problem = Problem("p.yaml", 3, 4, "no")
    assert str(problem) == "p.yaml:3:4: no"
    assert problem.to_json() == {"file": "p.yaml", "line": 3, "column": 4, "message": "no"}
    with pytest.raises(InvalidPlaybooks) as failure:
        loads(b"a: 1\nb: 2\n", "p.yaml")
    assert failure.value.exit_code == 2
    assert str(failure.value).splitlines()[0] == "The playbooks can't be used; nothing was done."
    assert "p.yaml:1:1: " in str(failure.value)


# Files made to take long


HOSTILE = {
    "many unknown keys": SMALL + "".join(f"versio{n}: 1\n" for n in range(4_000)),
    "many groups misspelt": SMALL.replace(
        "approvers:",
        "approvers:\n" + "".join(f"  security-group-{n}: {{}}\n" for n in range(2_000)),
    )
    + "".join(f"      - approve: {{id: g{n}, by: security-gruop-{n}}}\n" for n in range(700)),
    "many routes to nowhere": SMALL
    + "routes:\n"
    + "  - {match: {}, playbook: compromize, mode: automatic}\n" * 1_200,
    "many bad entries": SMALL + "      - {x: 1}\n" * 2_400,
    "many long names": SMALL + "".join(f"{'k' * 100}{n}: 1\n" for n in range(2_000)),
    "many conditions": SMALL
    + "".join(f"      - {{step: ec2.tag, id: t{n}, when: '{'(' * 100}'}}\n" for n in range(1_100)),
    "long name": small(("ec2.isolate", "e" * 200_000)),
    "long value": small(("Compromised instance", "t" * 200_000)),
    "look-ups": tagged("'" + "${x}" * 50_000 + "'"),
    "dollars": tagged("'" + "$" * 200_000 + "{'"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_answered_within_a_second(name: str) -> None:
    begun = time.process_time()
    found = problems(HOSTILE[name])
    assert time.process_time() - begun < 1
    assert found
    assert max(map(len, found)) < 500


# What getrusage tells counts the process that this one was forked from, too; tracemalloc doesn't.
_MEASURED = """
import sys, tracemalloc
from runbooks.loader import InvalidPlaybooks, loads
tracemalloc.start()
try:
    loads(sys.stdin.buffer.read(), "p.yaml")
except InvalidPlaybooks:
    print(tracemalloc.get_traced_memory()[1])
"""


def test_hostile_files_take_little_memory() -> None:
    bomb = "a0: &a0 {x: 1}\n" + "".join(
        f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}], y: 1}}\n" for n in range(1, 40)
    )
    for document in (bomb, HOSTILE["many unknown keys"], "[" * 250_000, "*x," * 80_000):
        done = subprocess.run(
            [sys.executable, "-c", _MEASURED],
            input=document.encode(),
            cwd=ROOT,
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) < 200 * 1024 * 1024


# Anything at all


PLACES = [
    ("version",),
    ("accounts",),
    ("accounts", "111122223333"),
    ("accounts", "111122223333", "regions"),
    ("approvers", "oncall", "local_users"),
    ("guardrails",),
    ("guardrails", "protected"),
    ("routes",),
    ("playbooks",),
    ("playbooks", "compromise"),
    ("playbooks", "compromise", "steps"),
    ("playbooks", "compromise", "steps", 0),
    ("playbooks", "compromise", "steps", 0, "step"),
    ("playbooks", "compromise", "steps", 0, "when"),
    ("playbooks", "compromise", "steps", 0, "parallel"),
    ("playbooks", "compromise", "steps", 0, "manual"),
    ("playbooks", "compromise", "steps", 1, "approve"),
    ("playbooks", "compromise", "steps", 1, "approve", "any_of"),
    ("playbooks", "compromise", "steps", 1, "approve", "otherwise"),
    ("playbooks", "compromise", "steps", 2, "with"),
    ("playbooks", "compromise", "steps", 2, "with", "tracked_connections"),
    ("playbooks", "compromise", "steps", 2, "with", "allow_from"),
]
WORDS = (
    st.sampled_from(["step", "approve", "parallel", "manual", "id", "by", "with", "when", "group"])
    | st.sampled_from(["ec2.tag", "tag", "arn", "oncall", "${finding.id}", "${", "target.x", "`"])
    | st.sampled_from(["proceed", "15m", "arn:a", "<<", "1e999", "local_users", "slack_users"])
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(WORDS | st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=10,
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(PLACES), VALUES)
def test_any_value_in_any_place_is_loaded_or_explained(place: tuple[Any, ...], value: Any) -> None:
    document = yaml.safe_load(SMALL)
    document["accounts"] = {"111122223333": document["accounts"]["111122223333"]}
    node = document
    for part in place[:-1]:
        node = node.setdefault(part, {}) if isinstance(node, dict) else node[part]
    node[place[-1]] = value
    # JSON is YAML, and keeps keys in quotes.
    text = json.dumps(document, ensure_ascii=False).replace("NaN", ".nan")
    for found in problems(text.encode("utf-8", "replace")):
        assert found.count(":") >= 2


@given(st.binary(max_size=400))
def test_any_bytes_are_loaded_or_explained(document: bytes) -> None:
    assert problems(document)


# `clampdown validate`


def validate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", "validate", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_command_line_says_every_problem_and_ends_with_2(tmp_path: Path) -> None:
    path = tmp_path / "playbooks.yaml"
    path.write_text(small(("ec2.isolate", "ec2.isolat"), ("by: oncall", "by: oncal")))
    done = validate(str(path))
    assert done.returncode == 2
    assert done.stdout.splitlines() == [
        f"{path}:13:36: there is no group 'oncal' under `approvers`; did you mean 'oncall'?",
        f"{path}:14:15: there is no step 'ec2.isolat'; did you mean 'ec2.isolate'?",
    ]
    assert done.stderr == f"2 error(s) in {path}.\n"

    done = validate("--json", str(path))
    assert done.returncode == 2
    document = json.loads(done.stdout)
    assert document["valid"] is False
    assert document["problems"][0] == {
        "file": str(path),
        "line": 13,
        "column": 36,
        "message": "there is no group 'oncal' under `approvers`; did you mean 'oncall'?",
    }


def test_the_command_line_says_that_a_file_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "playbooks.yaml"
    path.write_text(SMALL)
    done = validate("--json", "--playbooks", str(path))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "valid": True,
        "problems": [],
        "notes": [],
        "digest": loads(SMALL.encode(), "x").digest,
    }


def test_the_command_line_survives_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", tmp_path / "nope"):
        done = validate(str(path))
        assert done.returncode == 2
        assert done.stdout.startswith(f"{path}:1:1: can't be read: ")
        assert "Traceback" not in done.stderr


# The JSON Schema


def schema_problems(document: Any) -> list[str]:
    schema = json_schema(STEPS)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    return [error.json_path for error in validator.iter_errors(document)]


def test_the_schema_accepts_what_is_valid() -> None:
    assert schema_problems(yaml.safe_load(SMALL)) == []
    assert schema_problems(yaml.safe_load(tagged("'${finding.id}'"))) == []


def test_the_schema_accepts_the_playbooks_that_are_shipped() -> None:
    text = (ROOT / "playbooks.yaml").read_bytes()
    assert schema_problems(yaml.safe_load(text)) == []


@pytest.mark.parametrize(
    "change",
    [
        ("approvers:", "aprovers:"),
        ("approve:", "aproval:"),
        ("ec2.isolate", "ec2.isolat"),
        ("by: oncall", "by: oncall, quorm: 2"),
        ("by: oncall", "by: oncall, otherwise: proceed"),
        ("tracked_connections", "traked_connections"),
        ("untrack", "maybe"),
        ("version: 1", "version: 2"),
        ('"111122223333"', '"1111"'),
    ],
)
def test_the_schema_refuses_what_is_misspelt(change: tuple[str, str]) -> None:
    assert schema_problems(yaml.safe_load(small(change)))


def test_the_schema_is_printed_for_editors() -> None:
    done = validate("--schema")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json_schema(STEPS)


def test_the_playbooks_that_are_shipped_are_valid() -> None:
    loaded = load(ROOT / "playbooks.yaml")
    assert "ec2-compromise" in loaded.playbooks


def test_the_schema_that_editors_are_sent_to_is_the_present_one() -> None:
    shipped = (ROOT / "playbooks.yaml").read_text(encoding="utf-8").splitlines()[0]
    file = ROOT / shipped.partition("$schema=")[2]

    assert json.loads(file.read_text(encoding="utf-8")) == json_schema(STEPS), "run `make docs`"
