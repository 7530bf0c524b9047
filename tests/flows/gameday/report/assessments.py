"""Assessments as drills come to them: one that went well, one that did not, and one by a villain."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from flows.gameday.assessment import (
    Assessment,
    Coverage,
    Decision,
    Lesson,
    Moment,
    Past,
    Phase,
    Source,
    Timing,
    Verdict,
)

DRILL = "drill-20261125-4f0c2a"
FIRST = "inc-20261125-7f3a9c"
SECOND = "inc-20261125-b81d04"
BEGAN = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=https://example.com/x onerror='alert(2)'>",
    "{{ 7 * 7 }}{% for x in y %}",
    "\u202etxt.exe\u202c بروتوكول العزل",
    "one\nline\u2028forged\x00\x1b[31m",
    "a-name-without-any-break-" * 12,
    "javascript:alert(3)",
)


def drill(seq: int) -> Source:
    return Source(DRILL, seq)


def first(seq: int) -> Source:
    return Source(FIRST, seq)


def second(seq: int) -> Source:
    return Source(SECOND, seq)


def assessment(**changes: Any) -> Assessment:
    """A drill of two incidents that missed one objective of eight, with an absent approver."""
    return replace(_ASSESSMENT, **changes)


def hostile() -> Assessment:
    """The same with what an intruder could write wherever text comes from outside."""
    script, image, template, turned, forged, long, link = HOSTILE
    made = _ASSESSMENT
    return replace(
        made,
        title=f"{script} {turned}",
        purpose=image,
        formula=template,
        people=long,
        header={script: image, "tool": turned, long: long},
        techniques=(link, "T1496"),
        verdicts=(
            replace(made.verdicts[0], title=script, reason=long, controls=(image, long)),
            replace(made.verdicts[1], title=long, reason=forged, objective=turned),
            *made.verdicts[2:],
        ),
        phases=(
            replace(made.phases[0], name=long, row=long),
            replace(made.phases[1], name=script),
            replace(made.phases[3], name=turned),
            *made.phases[4:],
        ),
        moments=(
            *(
                Moment(number * 7.0, text, kind, text, Source(long[:30], number))  # type: ignore[arg-type]
                for number, (text, kind) in enumerate(
                    (text, kind)
                    for text in HOSTILE
                    for kind in ("inject", "person", "machine", "refused", "fault")
                )
            ),
            *made.moments,
        ),
        decisions=(
            Decision(script, long, image, turned, 2.0, False, forged, None, drill(9)),
            *made.decisions,
        ),
        quality={script: image, "many": list(HOSTILE), "nested": {long: {"value": script}}},
        safety={"planned": {long: 3, image: 1}, "actual": {long: 3}},
        faults=({"what": image, long: script, "hits": 3},),
        differences=(
            {"when": script, "changes": [{"path": long, "before": image, "after": None}]},
        ),
        lessons=(Lesson("no-answer", image, "high", (Source(script, 1),)), *made.lessons),
        not_tested=HOSTILE,
        coverage=(Coverage(long, None, None, True), *made.coverage),
    )


_ASSESSMENT = Assessment(
    drill=DRILL,
    scenario="crypto-mining-in-asg",
    title="Crypto mining on an instance behind a load balancer",
    purpose="Contain a mining instance of an Auto Scaling group while the first approver does not "
    "answer and AWS throttles, without touching its healthy neighbours.",
    mode="sandbox",
    seed=20261125,
    people="stand-ins",
    began=BEGAN,
    lasted=timedelta(minutes=45),
    header={
        "Drill": DRILL,
        "Scenario": "crypto-mining-in-asg, version 9f2e5c1d7b3a",
        "Mode": "sandbox",
        "Seed": "20261125",
        "Played": "2026-11-25 14:03 UTC",
        "Playbook": "ec2-compromise, playbooks.yaml b6d81b360a56",
        "Clampdown": "0.1.0",
        "Account": "123456789012 in eu-west-1",
        "People": "stand-ins: ana (oncall), ben (oncall), ria (security-leads)",
        "Incidents": f"{FIRST} (contained), {SECOND} (contained)",
    },
    techniques=("T1496", "T1552.005"),
    score=83.3,
    formula="(3×1 + 2×1 + 3×0 + 1×1 + 3×1 + 3×1 + 2×1 + 1×0.5) / 18 × 100 = 83.3; "
    "passed needs 80, and nothing that must not be touched",
    passed=False,
    verdicts=(
        Verdict(
            "noticed",
            "Somebody notices the first finding",
            "met",
            "Ana looked at it 1 min 48 s after it arrived.",
            3,
            timedelta(minutes=5),
            timedelta(seconds=108),
            ("NIST CSF DE.AE-02", "SOC 2 CC7.3"),
            (drill(4), drill(7)),
        ),
        Verdict(
            "acknowledged",
            "The incident is acknowledged",
            "met",
            "Ben acknowledged it 8 min 12 s after the finding.",
            2,
            timedelta(minutes=10),
            timedelta(seconds=492),
            ("NIST CSF RS.MA-01",),
            (drill(4), drill(12)),
        ),
        Verdict(
            "isolated",
            "The mining instance is isolated",
            "missed",
            "It was isolated 17 min 41 s after the finding: the gate was escalated after 15 min.",
            3,
            timedelta(minutes=15),
            timedelta(seconds=1061.4),
            ("NIST CSF RS.MI-01", "ISO 27001 A.5.26"),
            (drill(4), first(31)),
        ),
        Verdict(
            "evidence",
            "Evidence is complete and locked",
            "met",
            "Two snapshots were complete and locked 29 min 4 s after the finding.",
            1,
            timedelta(minutes=40),
            timedelta(seconds=1744),
            ("ISO 27001 A.5.28",),
            (drill(4), first(52)),
        ),
        Verdict(
            "neighbours",
            "The other instances of the group are untouched",
            "met",
            "web-2 and web-3 are as they were.",
            3,
            controls=("NIST CSF RS.MI-01",),
            sources=(drill(40),),
        ),
        Verdict(
            "capacity",
            "The service keeps its capacity",
            "met",
            "Three instances are in service.",
            3,
            sources=(drill(41),),
        ),
        Verdict(
            "journal",
            "The journal verifies",
            "met",
            "All 3 chains verify, 131 records.",
            2,
            controls=("SOC 2 CC7.4",),
            sources=(drill(42),),
        ),
        Verdict(
            "second",
            "The second victim is contained within 20 minutes",
            "partly",
            "It was isolated in time; its role's sessions were cut 1 min 10 s too late.",
            1,
            timedelta(minutes=20),
            timedelta(minutes=21, seconds=10),
            sources=(second(28),),
        ),
        Verdict("undone", "The containment can be taken back", "not tested", "Nobody undid it.", 1),
    ),
    phases=(
        Phase(FIRST, "Finding to incident", 60, 61.2, "Clampdown", (first(1),)),
        Phase(FIRST, "Protect and snapshot", 61.2, 66.8, "AWS", (first(4), first(12))),
        Phase(FIRST, "Gate contain: unseen", 66.8, 552, "people", (first(14), drill(12))),
        Phase(FIRST, "Gate contain: ana does not answer", 552, 966.8, "people", (first(14),)),
        Phase(FIRST, "Gate contain: escalated", 966.8, 1101, "people", (first(18), first(19))),
        Phase(FIRST, "Detach from the group", 1101, 1109.5, "AWS", (first(22),)),
        Phase(FIRST, "Deregister and drain", 1109.5, 1120, "AWS", (first(25),)),
        Phase(FIRST, "Isolate", 1120, 1121.4, "Clampdown", (first(31),)),
        Phase(FIRST, "Snapshots complete", 1121.4, 1804, "AWS", (first(33), first(52))),
        Phase(FIRST, "Clean room", 1804, 1990, "AWS", (first(55),)),
        Phase(SECOND, "Finding to incident", 240, 240.9, "Clampdown", (second(1),)),
        Phase(SECOND, "Gate contain: unseen", 246, 900, "people", (second(14),)),
        Phase(SECOND, "Gate contain: ben decides", 900, 1010, "people", (second(16),)),
        Phase(SECOND, "Contain", 1010, 1510, "AWS", (second(20), second(28))),
        Phase("people", "ana: at lunch", 66.8, 966.8, "nobody", (drill(8),)),
        Phase("people", "ben: reads the plan", 492, 552, "people", (drill(12),)),
        Phase("people", "ria: decides", 1040, 1101, "people", (drill(21),)),
    ),
    moments=(
        Moment(0, "scenario", "inject", "The drill begins", drill(1)),
        Moment(
            60, "scenario", "inject", "Finding CryptoCurrency:EC2/BitcoinTool.B on web-1", drill(4)
        ),
        Moment(61.2, "clampdown", "machine", "Incident opened, playbook ec2-compromise", first(1)),
        Moment(62.4, "clampdown", "machine", "Snapshots of 2 volumes begun", first(12)),
        Moment(
            66.8, "clampdown", "machine", "Gate contain asked of oncall, within 15 min", first(14)
        ),
        Moment(120, "simulated AWS", "fault", "Throttles half of all calls to EC2", drill(6)),
        Moment(168, "ana", "person", "Noticed the message", drill(7)),
        Moment(240, "scenario", "inject", "Finding Backdoor:EC2/C&CActivity.B on web-4", drill(10)),
        Moment(492, "ben", "person", "Acknowledged", drill(12)),
        Moment(500, "ben", "person", "Opened the plan's details", drill(13)),
        Moment(505, "mallory", "refused", "Approval of gate contain: not in oncall", drill(14)),
        Moment(508, "ben", "refused", "Approval of an incident that ben had asked for", drill(15)),
        Moment(
            966.8, "clampdown", "machine", "Gate contain escalated to security-leads", first(18)
        ),
        Moment(1010, "ben", "person", "Approved gate contain of the second incident", drill(20)),
        Moment(1101, "ria", "person", "Approved gate contain", drill(21)),
        Moment(1121.4, "clampdown", "machine", "web-1 isolated, read back", first(31)),
        Moment(
            1300,
            "scenario",
            "inject",
            "The orchestrator is killed before its next change",
            drill(24),
        ),
        Moment(1330, "clampdown", "machine", "Back, resumed from the journal", drill(25)),
        Moment(1804, "clampdown", "machine", "Snapshots complete and locked", first(52)),
    ),
    timings=(
        Timing("noticed", 108, 300, 95, 101, 340, (drill(4), drill(7))),
        Timing("acknowledged", 492, 600, 510, 480, 620, (drill(4), drill(12))),
        Timing("decided", 1041, None, 700, 650, 1041, (drill(4), first(19))),
        Timing("isolated", 1061.4, 900, 714.2, 702, 1061.4, (drill(4), first(31))),
        Timing("contained", 1061.4, 900, 714.2, 702, 1061.4, (drill(4), first(31))),
        Timing("evidence", 1744, 2400, 1390, 1402, 1744, (drill(4), first(52))),
        Timing("undone", None, None, None, None, None),
    ),
    people_share=0.962,
    fidelity={
        "as_written": 24,
        "as_written_share": 0.96,
        "skipped": [
            {
                "incident": SECOND,
                "step": "elb.deregister",
                "target": "i-0a1b2c3d",
                "text": "it is behind no load balancer",
                "sources": (second(18),),
            }
        ],
        "failed": [],
        "not_reached": [],
        "repeated": [],
    },
    decisions=(
        Decision("ana", FIRST, "contain", "nothing", None, False, "did not answer", None, drill(8)),
        Decision(
            "mallory", FIRST, "contain", "approve", 438.2, False, "not in oncall", False, drill(14)
        ),
        Decision("ben", SECOND, "contain", "approve", 764, True, "", True, drill(20)),
        Decision("ria", FIRST, "contain", "approve", 134.2, True, "", True, drill(21)),
    ),
    quality={
        "approvals": 2,
        "approvals_without_details": [],
        "approvals_under_3_s": [],
        "denials": 0,
        "self_approvals_refused": [],
        "other_decisions_refused": [
            {
                "person": "mallory",
                "incident": FIRST,
                "gate": "contain",
                "text": "not in oncall",
                "sources": (drill(14),),
            }
        ],
        "no_answer": [],
        "decoys_touched": [],
        "missed_injects": [],
    },
    safety={
        "planned": {"ec2.protect": 4, "ec2.snapshot": 2, "autoscaling.detach": 1, "ec2.isolate": 2},
        "if_needed": {"autoscaling.detach": 1},
        "actual": {"ec2.protect": 4, "ec2.snapshot": 2, "autoscaling.detach": 2, "ec2.isolate": 2},
        "not_done": {},
        "planned_in_all": 9,
        "made_in_all": 10,
        "refusals": [
            {"guard": "gate", "text": "mallory is not in oncall", "sources": (drill(14),)},
        ],
        "taken_back": True,
        "sources": tuple(first(seq) for seq in range(3, 40)),
    },
    evidence=tuple(
        {
            "incident": FIRST,
            "kind": "snapshot",
            "id": snapshot,
            "of": volume,
            "complete": True,
            "locked": True,
            "sources": (first(12), first(52)),
        }
        for snapshot, volume in (
            ("snap-0a1b2c3d4e5f60718", "vol-0f1e2d3c"),
            ("snap-0b2c3d4e5f6071829", "vol-0e2d3c4b"),
        )
    ),
    journal={
        "ok": True,
        "records": 131,
        "chains": 3,
        "problems": [],
        "last_hash": "c0ffee" * 10 + "beef",
    },
    faults=(
        {
            "what": "Throttles half of all calls to EC2",
            "thing": "fault",
            "at_seconds": 120.0,
            "hits": 41,
            "noticed": False,
            "noticed_after_seconds": None,
            "by": "nobody",
            "sources": (drill(6), drill(44)),
        },
        {
            "what": "the orchestrator was killed and was back after 30 s",
            "thing": "dies",
            "at_seconds": 1300.0,
            "hits": None,
            "noticed": True,
            "noticed_after_seconds": 30.0,
            "by": "Clampdown",
            "sources": (drill(24), drill(25)),
        },
    ),
    calls=tuple(
        {
            "service": service,
            "operation": operation,
            "changes": changes,
            "count": count,
            "errors": errors,
            "sources": (drill(44),),
        }
        for service, operation, changes, count, errors in (
            ("ec2", "DescribeInstances", False, 48, {"RequestLimitExceeded": 19}),
            ("ec2", "ModifyNetworkInterfaceAttribute", True, 4, {}),
            ("ec2", "CreateSnapshots", True, 2, {}),
            ("autoscaling", "DetachInstances", True, 1, {}),
            ("iam", "PutRolePolicy", True, 1, {}),
        )
    ),
    differences=tuple(
        {
            "when": "contained",
            "path": path,
            "before": before,
            "after": after,
            "sources": (drill(43),),
        }
        for path, before, after in (
            ("interfaces.eni-0a1b.groups", ["sg-web", "sg-admin"], ["sg-isolation"]),
            ("groups.web.instances", ["web-1", "web-2", "web-3"], ["web-2", "web-3", "i-0c4d"]),
            ("roles.web.policies.clampdown-deny", None, {"Effect": "Deny", "Action": "*"}),
        )
    ),
    not_tested=(
        "Undoing the containment: nobody asked for it.",
        "Slack itself: stand-ins played, nobody was reached on a phone.",
        "Real AWS limits: the simulated AWS throttles as the scenario says.",
    ),
    lessons=(
        Lesson(
            "slowest-phase",
            "Waiting for people took 96 % of the time until containment, most of "
            "it in gate contain. Consider a shorter escalation than 15 min.",
            "medium",
            (first(14), first(18)),
        ),
        Lesson(
            "no-answer",
            "ana did not answer within 15 min. Check her on-call hours.",
            "high",
            (drill(8),),
        ),
        Lesson(
            "outsider",
            "mallory tried to approve and is in no group of approvers.",
            "low",
            (drill(14),),
        ),
    ),
    past=tuple(
        Past(
            f"drill-2026{month:02}15-a1b2c{month % 10}",
            datetime(2026, month, 15, tzinfo=UTC),
            "sandbox",
            1000 + month,
            score,
            score >= 80,
            {"isolated": took, "contained": took},
            "crypto-mining-in-asg",
            "ec2-compromise",
        )
        for month, score, took in (
            (4, 55.5, 980.0),
            (5, 66.7, 902.0),
            (6, 77.8, 760.0),
            (7, 100.0, 702.0),
            (8, 94.4, 690.0),
            (9, 100.0, 655.0),
            (10, 100.0, 714.2),
        )
    ),
    coverage=(
        Coverage("ec2-compromise", BEGAN, False, False),
        Coverage("leaked-access-key", datetime(2026, 10, 2, tzinfo=UTC), True, False),
        Coverage("public-bucket", datetime(2026, 5, 20, tzinfo=UTC), True, True),
        Coverage("rds-snapshot-shared", None, None, True),
    ),
)
