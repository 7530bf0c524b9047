"""What is found at the end of a drill, looked at in AWS itself and not in Clampdown's own words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from flows.gameday.play.before import Before, state_of
from flows.gameday.play.diary import Diary
from flows.gameday.play.outcomes import Found, Outcomes
from flows.gameday.play.outside import CALLER, NotPossible, Outside, all_of
from flows.gameday.scenario import Condition, Objective, Scenario
from flows.journal.journal import Journal

# An address of nobody's (RFC 5737), to see whether anything still gets out.
_ELSEWHERE = "198.51.100.7"

# What makes an instance serve; that it is protected takes it out of nothing.
_SERVICE: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "its load balancing": lambda told: [*told["targets"], *told["classic"]],
    "its place in Auto Scaling": lambda told: {n: m[0] for n, m in told["scaling"].items()},
    "what its interfaces are in": lambda told: {
        eni: (item or {}).get("groups") for eni, item in told["interfaces"].items()
    },
}


class Checks:
    """Looks at the world after a scenario. Faults are over by then, and nothing goes on."""

    def __init__(
        self, scenario: Scenario, outside: Outside, before: Before, journal: Journal, diary: Diary
    ) -> None:
        self._scenario = scenario
        self._outside = outside
        self._before = before
        self._diary = diary
        self._now = state_of(outside)
        self._calls: list[dict[str, Any]] = [
            call
            for call in outside.get("calls")["calls"]
            if CALLER in call["user_agent"] and call["changes"]
        ]
        outcomes = self._outcomes = Outcomes(scenario, outside, journal, diary)
        self._of: Mapping[Condition, Callable[[str], Found]] = {
            "isolated": self._isolated,
            "contained": self._contained,
            "in_service": self._in_service,
            "untouched": self._untouched,
            "evidence": self._evidence,
            "credentials_denied": self._credentials_denied,
            "cut": partial(outcomes.connection, alive=False),
            "alive": partial(outcomes.connection, alive=True),
            "not_opened": outcomes.not_opened,
            "proposed": outcomes.proposed,
            "refused": outcomes.refused,
            "undone": self._undone,
        }

    def look(self, objective: Objective) -> Found:
        """Whether the objective's condition holds of everything that it names."""
        assert objective.holds is not None
        if objective.holds == "journal_verifies":
            return self._outcomes.journal_verifies()
        names = objective.of or tuple(self._meant(objective.holds))
        if not names:
            return Found(False, "There is nothing in the scenario to look at.")
        found = [self._of[objective.holds](name) for name in names]
        wrong = [item.text for item in found if not item.holds]
        return Found(not wrong, " ".join(wrong or [item.text for item in found]))

    def _meant(self, condition: Condition) -> Iterable[str]:
        """What a condition is about that names nothing."""
        things = [event.finding for event in self._scenario.timeline if event.finding]
        if condition in {"not_opened", "proposed", "refused"}:
            return dict.fromkeys(finding.id for finding in things)
        if condition in {"cut", "alive"}:
            return [e.connection.id for e in self._scenario.timeline if e.connection]
        return dict.fromkeys(finding.on for finding in things if finding.on)

    # The world

    def _isolated(self, name: str) -> Found:
        instance = self._outside.instance(name)
        interfaces = self._interfaces(instance)
        if not interfaces:
            return Found(False, f"{name} has no network interface any more: it is gone.")
        for eni in interfaces:
            groups = [group["GroupId"] for group in eni["Groups"]]
            if rules := sum(len(self._now["groups"].get(group, [])) for group in groups):
                return Found(
                    False,
                    f"{name}: {eni['NetworkInterfaceId']} is in {', '.join(groups)}, with "
                    f"{rules} rules.",
                )
        wanted = {"from": instance, "to": _ELSEWHERE, "port": 443}
        try:
            self._outside.post("connections", wanted)
        except NotPossible:
            count = len(interfaces)
            return Found(
                True,
                f"{name}: all of its {count} interfaces are in groups without rules, and a new "
                "connection does not pass.",
            )
        return Found(False, f"{name} still reaches the Internet.")

    def _contained(self, name: str) -> Found:
        isolated = self._isolated(name)
        serving = self._serving(self._outside.instance(name))
        if isolated.holds and serving:
            return Found(False, f"{name} is isolated, and still in {', '.join(serving)}.")
        more = " It is out of service." if isolated.holds else ""
        return Found(isolated.holds, isolated.text + more)

    def _in_service(self, name: str) -> Found:
        if (
            name in self._before.state["scaling"]
            or self._outside.id_of(name) in (self._before.state["scaling"])
        ):
            return self._group_in_service(name, self._outside.id_of(name))
        instance = self._outside.instance(name)
        before, now = self._about(instance)
        if (now["instance"] or {}).get("state") != "running":
            return Found(False, f"{name} does not run.")
        for what, of in _SERVICE.items():
            if of(before) != of(now):
                return Found(False, f"{name} runs, but {what} is not as before: {of(now)}.")
        return Found(True, f"{name} runs and serves as before.")

    def _group_in_service(self, name: str, group: str) -> Found:
        now = self._now["scaling"].get(group, {"members": {}, "sizes": [0, 0, 0]})
        wanted = self._before.state["scaling"][group]["sizes"][2]
        there = sum(state == "InService" for state, _ in now["members"].values())
        return Found(there >= wanted, f"{name} has {there} of {wanted} instances in service.")

    def _untouched(self, name: str) -> Found:
        identity = self._outside.id_of(name)
        named = {identity, *self._before.interfaces.get(identity, [])}
        for call in self._calls:
            told = json.dumps(call["parameters"], default=str)
            if not call["error"] and any(item in told for item in named):
                what = f"{call['service']}:{call['operation']}"
                return Found(False, f"{name} was touched: {what} at {call['at'][11:19]}.")
        if identity in self._before.interfaces:
            before, now = self._about(identity)
            if before != now:
                changed = ", ".join(what for what in before if before[what] != now[what])
                return Found(False, f"No call has named {name}, but it has changed: {changed}.")
        return Found(True, f"{name} is as it was, and no change has named it.")

    def _evidence(self, name: str) -> Found:
        instance = self._outside.instance(name)
        volumes = self._before.volumes.get(instance, [])
        snapshots = all_of(
            self._outside.client("ec2").describe_snapshots,
            "Snapshots",
            Filters=[{"Name": "volume-id", "Values": volumes}],
        )
        done = {item["VolumeId"] for item in snapshots if item["State"] == "completed"}
        lacking = [volume for volume in volumes if volume not in done]
        count = len(volumes)
        text = f"{name}: {count - len(lacking)} of {count} volumes have a completed snapshot"
        return Found(
            bool(volumes) and not lacking,
            f"{text}; not {', '.join(lacking)}." if lacking else f"{text}.",
        )

    def _credentials_denied(self, name: str) -> Found:
        """What IAM's own simulator says to sessions of the role that were issued at the start, and
        of whatever the instance is given now."""
        instance = self._outside.instance(name)
        profiles = {
            self._before.profiles.get(instance, ""),
            self._now["profiles"].get(instance, ""),
        }
        roles = [role for arn in sorted(profiles) if arn for role in self._roles_of(arn)]
        if not roles:
            return Found(False, f"{name} had no role.")
        for role in roles:
            verdict = self._verdict(role, instance)
            if verdict != "explicitDeny":
                return Found(
                    False,
                    f"{name}: sessions of {role['RoleName']} are not denied ({verdict}).",
                )
        names = ", ".join(role["RoleName"] for role in roles)
        return Found(True, f"{name}: its sessions of {names} are denied everything.")

    def _verdict(self, role: Mapping[str, Any], instance: str) -> str:
        context = {
            "aws:userid": ("string", f"{role['RoleId']}:{instance}"),
            "aws:TokenIssueTime": ("date", self._issued),
        }
        answer = self._outside.client("iam").simulate_principal_policy(
            PolicySourceArn=role["Arn"],
            ActionNames=["s3:GetObject"],
            ContextEntries=[
                {"ContextKeyName": key, "ContextKeyType": kind, "ContextKeyValues": [value]}
                for key, (kind, value) in context.items()
            ],
        )
        return str(answer["EvaluationResults"][0]["EvalDecision"])

    @property
    def _issued(self) -> str:
        return self._diary.began.at.strftime("%Y-%m-%dT%H:%M:%SZ")

    def _roles_of(self, profile: str) -> list[dict[str, Any]]:
        answer = self._outside.client("iam").get_instance_profile(
            InstanceProfileName=profile.rsplit("/", 1)[-1]
        )
        return list(answer["InstanceProfile"]["Roles"])

    def _undone(self, name: str) -> Found:
        before, now = self._about(self._outside.instance(name))
        changed = [what for what in before if before[what] != now[what]]
        if changed:
            return Found(False, f"{name} is not as before: {', '.join(changed)}.")
        return Found(True, f"{name} is as it was before.")

    def _about(self, instance: str) -> tuple[dict[str, Any], dict[str, Any]]:
        return self._before.about(instance), self._before.about(instance, self._now)

    def _serving(self, instance: str) -> list[str]:
        """The load balancers' and Auto Scaling groups that an instance is in now."""
        now = self._before.about(instance, self._now)
        return [*now["targets"], *now["classic"], *now["scaling"]]

    def _interfaces(self, instance: str) -> list[Any]:
        return all_of(
            self._outside.client("ec2").describe_network_interfaces,
            "NetworkInterfaces",
            Filters=[{"Name": "attachment.instance-id", "Values": [instance]}],
        )
