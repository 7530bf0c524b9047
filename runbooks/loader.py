"""Loading playbooks.yaml strictly: every error at once, each with its line and column, in words."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from runbooks.lint import ungated
from runbooks.lookup import ROOTS, expression_fault, paths_in, reads, segments, unclosed
from runbooks.playbook import (
    ENTRY_KEYS,
    Account,
    Alternative,
    Approve,
    ApproverGroup,
    Budgets,
    ChannelBySeverity,
    Gate,
    Guardrails,
    Manual,
    ManualTask,
    Parallel,
    Playbook,
    Playbooks,
    ProtectedArn,
    ProtectedTag,
    Route,
    RouteMatch,
    RunStep,
    SlackPlaces,
    Team,
)
from runbooks.registry import STEPS
from runbooks.step import AnyStep
from runbooks.yaml_problems import (
    InvalidFile,
    Problem,
    ProblemsOf,
    bytes_of,
    is_misspelt,
    list_of,
    mapping_of,
    real_path,
    sentence,
    texts_in,
    value_at,
)
from runbooks.yaml_source import Source, Where, parse

__all__ = ["SCHEMA_VERSION", "InvalidPlaybooks", "Problem", "json_schema", "load", "loads"]

SCHEMA_VERSION = 1


class InvalidPlaybooks(InvalidFile):
    """The playbooks file is wrong; ``problems`` has every error in it."""

    what_it_is = "The playbooks"


def load(path: Path, steps: Mapping[str, type[AnyStep]] = STEPS) -> Playbooks:
    """Read and check a playbooks file. Raises InvalidPlaybooks with everything that is wrong."""
    document = bytes_of(path, "give --playbooks FILE or set CLAMPDOWN_PLAYBOOKS")
    if isinstance(document, Problem):
        raise InvalidPlaybooks([document])
    return loads(document, str(path), steps)


def loads(document: bytes, name: str, steps: Mapping[str, type[AnyStep]] = STEPS) -> Playbooks:
    """Check a playbooks document. Raises InvalidPlaybooks."""
    source = parse(document)
    check = _Check(source, name, steps)
    # Of a document that ends early, what is missing says nothing.
    if source.faults and not source.complete:
        raise InvalidPlaybooks(check.problems)
    if not isinstance(source.data, dict):
        if not source.faults:
            check.add((), "the file must be a mapping with `version`, `accounts`, `playbooks`…")
        raise InvalidPlaybooks(check.problems)
    check.version(source.data.get("version"))
    loaded = check.models()
    check.meaning(source.data)
    if check.problems or loaded is None:
        raise InvalidPlaybooks(check.problems)
    digest = hashlib.sha256(document).hexdigest()
    return loaded.model_copy(update={"digest": digest})


class _Check(ProblemsOf):
    """Collects problems: first those of form, by the models, then those of meaning."""

    def __init__(self, source: Source, name: str, steps: Mapping[str, type[AnyStep]]) -> None:
        super().__init__(source, name)
        self.steps = steps

    def version(self, version: Any) -> None:
        """Raises InvalidPlaybooks for a newer file: what else is wrong, only a newer one knows."""
        if type(version) is int and version > SCHEMA_VERSION:
            text = f"version {version} is newer than this Clampdown knows; upgrade it"
            self.at_value(("version",), text)
            raise InvalidPlaybooks(self.problems)

    def models(self) -> Playbooks | None:
        data = self.source.data
        if "digest" in data:
            self.add(("digest",), self._unknown("digest", Playbooks))
        try:
            return Playbooks.model_validate(data)
        except ValidationError as error:
            for item in error.errors():
                self._explain(item)
        return None

    def _explain(self, item: Any) -> None:
        path = _real_path(item["loc"], self.source)
        if _wrong_alternative(item, self.source.data):
            return
        kind = item["type"]
        name = str(path[-1]) if path else "the file"
        here = value_at(self.source.data, path)
        if kind == "extra_forbidden":
            self.add(path, self._unknown(name, _model_at(path, self.source.data)))
        elif kind == "missing":
            if not self._is_misspelt(name, path[:-1]):
                self.add(path[:-1], f"{name!r} is missing")
        elif kind == "too_short" and here:
            pass  # Pydantic counts only what is valid in it.
        elif path and kind == "string_pattern_mismatch" and item["loc"][-1] == "[key]":
            self.add(path, f"the key {name!r} is not valid: {_pattern(path)}")
        elif name == "otherwise" and here in _PROCEED:
            text = "no answer never means yes: `otherwise` is deny or escalate"
            self.at_value(path, text)
        else:
            self.at_value(path, sentence(item, path))

    def _is_misspelt(self, name: str, path: Where) -> bool:
        """Whether what is missing is there under a name that is unknown, which is said already."""
        node = mapping_of(value_at(self.source.data, path))
        model = _model_at((*path, name), self.source.data)
        unknown = [key for key in node if key not in _keys(model)]
        if name == "step" and model is RunStep:
            return bool(unknown)
        return is_misspelt(name, unknown)

    def _unknown(self, name: str, model: type[BaseModel]) -> str:
        return self.unknown_key(name, _keys(model))

    def meaning(self, data: Mapping[str, Any]) -> None:
        """What the models can't see: names that must exist, ids, order, gates, conditions."""
        approvers = mapping_of(data.get("approvers"))
        playbooks = mapping_of(data.get("playbooks"))
        for key, account in mapping_of(data.get("accounts")).items():
            role = mapping_of(account).get("role")
            if isinstance(role, str) and role.startswith("arn:") and f"::{key}:" not in role:
                self.at_value(
                    ("accounts", key, "role"), f"the role belongs to another account than {key}"
                )
        for index, group in enumerate(list_of(mapping_of(data.get("slack")).get("triggers"))):
            self._group(("slack", "triggers", index), group, approvers)
        for team_name, team in mapping_of(data.get("teams")).items():
            if "approvers" in mapping_of(team):
                self._group(("teams", team_name, "approvers"), team["approvers"], approvers)
        for index, route in enumerate(list_of(data.get("routes"))):
            name = mapping_of(route).get("playbook")
            if isinstance(name, str) and name not in playbooks:
                where = ("routes", index, "playbook")
                self.at_value(
                    where, f"there is no playbook {name!r}{self.suggest(name, playbooks)}"
                )
        for name, playbook in playbooks.items():
            self._playbook(("playbooks", name), mapping_of(playbook), approvers)

    def _playbook(
        self, path: Where, playbook: Mapping[str, Any], approvers: Mapping[str, Any]
    ) -> None:
        ids: dict[str, Where] = {}
        outputs: set[str] = set()
        for block in _blocks(path, playbook):
            # What stands side by side sees the outputs of what stands before, not each other's.
            made: set[str] = set()
            for entry_path, entry in block:
                if "step" in entry:
                    self._step(entry_path, entry, ids, outputs)
                    made.add(str(entry.get("id", entry["step"])))
                if "when" in entry:
                    self._condition((*entry_path, "when"), entry, outputs)
                if "approve" in entry:
                    self._gate(
                        (*entry_path, "approve"), mapping_of(entry["approve"]), approvers, ids
                    )
                if "manual" in entry:
                    task = mapping_of(entry["manual"])
                    self._group((*entry_path, "manual", "by"), task.get("by"), approvers)
                    self._claim((*entry_path, "manual"), task.get("id", "manual"), ids)
            outputs |= made
        try:
            model = Playbook.model_validate(playbook)
        except ValidationError:
            return
        for found in ungated(model, self.steps):
            self.at_value(
                (*path, *found.path),
                f"{found.step.step} takes something down and stands behind no gate; "
                "put an `approve` before it",
            )

    def _step(
        self,
        path: Where,
        entry: Mapping[str, Any],
        ids: dict[str, Where],
        outputs: Collection[str],
    ) -> None:
        name = entry["step"]
        if not isinstance(name, str):
            return
        if name not in self.steps:
            self.at_value(
                (*path, "step"), f"there is no step {name!r}{self.suggest(name, self.steps)}"
            )
        values = entry.get("with", {})
        if name in self.steps and isinstance(values, dict):
            self._params((*path, "with"), values, self.steps[name].Params)
        for where, text in texts_in((*path, "with"), values):
            for found in paths_in(text):
                self._path(where, found, outputs)
            if unclosed(text):
                self.at_value(where, "a `${` that names no path; a dollar itself is written $$")
        self._claim(path, entry.get("id", name), ids)

    def _params(self, path: Where, values: dict[str, Any], model: type[BaseModel]) -> None:
        try:
            model.model_validate(values)
        except ValidationError as error:
            for item in error.errors():
                where = (*path, *item["loc"])
                if item["type"] == "extra_forbidden":
                    self.add(where, self._unknown(str(item["loc"][-1]), model))
                elif item["type"] == "missing":
                    self.add(path, f"{item['loc'][-1]!r} is missing")
                elif not any(True for _ in paths_in(value_at(values, item["loc"]))):
                    self.at_value(where, sentence(item, where))

    def _path(self, where: Where, path: str, outputs: Collection[str]) -> None:
        parts = segments(path)
        if parts is None:
            self.at_value(where, f"${{{path}}} is not a path such as ${{finding.id}}")
        elif parts[0] not in ROOTS:
            known = ", ".join(ROOTS)
            self.at_value(where, f"${{{path}}}: there is no {parts[0]!r}; there is {known}")
        elif parts[0] == "steps" and not _names_output(parts[1:], outputs):
            self.at_value(where, f"${{{path}}} names no earlier step of this playbook")

    def _condition(self, where: Where, entry: Mapping[str, Any], outputs: Collection[str]) -> None:
        expression = entry["when"]
        if not isinstance(expression, str):
            return
        if fault := expression_fault(expression):
            offset = fault[1] + (where in self.source.quoted)
            self.at_value(where, f"the condition can't be read: {fault[0]}", offset=offset)
            return
        paths = reads(expression)
        for path in sorted(paths):
            # JMESPath takes a dotted id for a path unless it is quoted.
            if path[0] == "steps" and path[1:2] not in [(known,) for known in outputs]:
                text = f'{".".join(path)} names no earlier step; it is written steps."<id>".…'
                self.at_value(where, text)
        if "approve" in entry and not paths:
            # Were it false, it would be a gate that never stands before anything.
            self.at_value(where, "this gate's condition looks at nothing; leave `when` out")

    def _gate(
        self,
        path: Where,
        gate: Mapping[str, Any],
        approvers: Mapping[str, Any],
        ids: dict[str, Where],
    ) -> None:
        self._claim(path, gate.get("id"), ids)
        for key in ("by", "escalate_to", "break_glass"):
            if key in gate:
                self._group((*path, key), gate[key], approvers)
        for index, group in enumerate(list_of(gate.get("notify"))):
            self._group((*path, "notify", index), group, approvers, may_be_empty=True)
        for index, item in enumerate(list_of(gate.get("any_of"))):
            group = mapping_of(item).get("group")
            self._group((*path, "any_of", index, "group"), group, approvers)
            self._quorum(
                (*path, "any_of", index, "count"), group, mapping_of(item).get("count"), approvers
            )
        self._quorum((*path, "quorum"), gate.get("by"), gate.get("quorum"), approvers)
        self._denials(path, gate, approvers)

    def _group(
        self,
        where: Where,
        name: Any,
        approvers: Mapping[str, Any],
        *,
        may_be_empty: bool = False,
    ) -> None:
        if not isinstance(name, str):
            return
        if name not in approvers:
            known = self.suggest(name, approvers)
            self.at_value(where, f"there is no group {name!r} under `approvers`{known}")
        elif not may_be_empty and _nobody(approvers[name]):
            self.at_value(where, f"the group {name!r} has no members: nobody could ever decide")

    def _quorum(self, where: Where, name: Any, count: Any, approvers: Mapping[str, Any]) -> None:
        if not isinstance(name, str) or not isinstance(count, int) or name not in approvers:
            return
        if mapping_of(approvers[name]).get("slack_usergroup"):
            return
        if (size := _size(approvers[name])) and count > size:
            self.at_value(where, f"{count} of {name!r} can never decide: it has {size} member(s)")

    def _denials(self, path: Where, gate: Mapping[str, Any], approvers: Mapping[str, Any]) -> None:
        count = gate.get("deny_at")
        named = [gate.get("by"), *(mapping_of(i).get("group") for i in list_of(gate.get("any_of")))]
        groups = [mapping_of(approvers.get(str(name))) for name in named]
        if any(group.get("slack_usergroup") for group in groups):
            return
        people = {person for group in groups for person in _members(group)}
        if isinstance(count, int) and people and count > len(people):
            where = (*path, "deny_at")
            self.at_value(where, f"{count} can never deny: the gate has {len(people)} member(s)")

    def _claim(self, path: Where, identity: Any, ids: dict[str, Where]) -> None:
        if not isinstance(identity, str):
            return
        if identity in ids:
            first = self.source.position(ids[identity])
            self.add(
                path,
                f"the id {identity!r} is taken (line {first.line}); give this one an `id` of its own",
            )
        ids.setdefault(identity, path)


def json_schema(steps: Mapping[str, type[AnyStep]] = STEPS) -> dict[str, Any]:
    """JSON Schema (2020-12) of the file for editors, with every step's own parameters."""
    schema = Playbooks.model_json_schema(by_alias=True)
    schema["properties"].pop("digest", None)
    definitions = schema["$defs"]
    for model in (schema, *definitions.values()):
        for field in model.get("properties", {}).values():
            if "patternProperties" in field:
                field["additionalProperties"] = False
    step = definitions["RunStep"]
    step["required"] = ["step"]
    step["properties"]["step"] = {"enum": sorted(steps), "type": "string"}
    step["allOf"] = []
    for name, kind in sorted(steps.items()):
        params = kind.Params.model_json_schema(by_alias=True)
        definitions.update(params.pop("$defs", {}))
        step["allOf"].append(
            {
                "if": {"properties": {"step": {"const": name}}},
                "then": {"properties": {"with": _with_lookups(params)}},
            }
        )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Clampdown playbooks",
        **schema,
    }


def _with_lookups(params: dict[str, Any]) -> dict[str, Any]:
    """Any parameter may also be a look-up."""
    lookup = {"type": "string", "pattern": r"\$\{[^{}]+\}"}
    properties = {
        key: {"anyOf": [value, lookup]} for key, value in params.get("properties", {}).items()
    }
    return {**params, "properties": properties}


def _blocks(
    path: Where, playbook: Mapping[str, Any]
) -> Iterator[list[tuple[Where, dict[str, Any]]]]:
    """The entries that run one after the other; those of a parallel block together."""
    for index, entry in enumerate(list_of(playbook.get("steps"))):
        where = (*path, "steps", index)
        if isinstance(entry, dict):
            inner = enumerate(list_of(entry.get("parallel")))
            side_by_side = [((*where, "parallel", n), s) for n, s in inner if isinstance(s, dict)]
            yield [(where, entry), *side_by_side]


def _names_output(parts: Sequence[str | int], outputs: Collection[str]) -> bool:
    """Whether the rest of a ``steps.…`` path begins with a step's id and goes on.

    An id may have dots itself: ``steps.ec2.snapshot.set``.
    """
    names = [str(part) for part in parts]
    return any(".".join(names[:end]) in outputs for end in range(1, len(names)))


def _real_path(loc: tuple[Any, ...], source: Source) -> Where:
    """The path in the file, of what is missing in it too."""
    path = real_path(loc, source.data)
    last = loc[-1]
    added = isinstance(last, str) and not last[:1].isupper() and last not in ("[key]",)
    if added and (not path or path[-1] != last) and "-" not in last and "[" not in last:
        path = (*path, last)
    return path


_RULES: dict[str, type[BaseModel]] = {"ProtectedTag": ProtectedTag, "ProtectedArn": ProtectedArn}
_UNION_MEMBERS = {*(model.__name__ for model in ENTRY_KEYS.values()), *_RULES}


def _wrong_alternative(item: Any, data: Any) -> bool:
    """Whether the error is of an alternative that was not meant: entries say what they are."""
    for position, part in enumerate(item["loc"]):
        if part not in _UNION_MEMBERS:
            continue
        node = value_at(data, real_path(item["loc"][:position], data))
        meant = _meant_rule(node) if part in _RULES else _meant(node)
        return bool(part != meant)
    return False


def _meant_rule(node: Any) -> str:
    return "ProtectedArn" if isinstance(node, dict) and "arn" in node else "ProtectedTag"


def _meant(node: Any) -> str:
    if not isinstance(node, dict):
        return "RunStep"
    for key, model in ENTRY_KEYS.items():
        if key in node:
            return model.__name__
    return _closest_entry(node)


def _closest_entry(node: Mapping[str, Any]) -> str:
    for key in node:
        if close := difflib.get_close_matches(str(key), ENTRY_KEYS, 1):
            return ENTRY_KEYS[close[0]].__name__
    return "RunStep"


_MODELS: dict[str, type[BaseModel]] = {
    "accounts": Account,
    "approvers": ApproverGroup,
    "guardrails": Guardrails,
    "budgets": Budgets,
    "routes": Route,
    "slack": SlackPlaces,
    "teams": Team,
    "by_severity": ChannelBySeverity,
    "match": RouteMatch,
    "any_of": Alternative,
    "approve": Gate,
    "manual": ManualTask,
    "playbooks": Playbook,
    "parallel": RunStep,
}


def _model_at(path: Where, data: Any) -> type[BaseModel]:
    """The model of the mapping in which the last key of the path stands."""
    parent = path[:-1]
    for part in reversed(parent):
        if part == "steps":
            node = value_at(data, parent)
            return {model.__name__: model for model in ENTRY_KEYS.values()}[_meant(node)]
        if part == "protected":
            return _RULES[_meant_rule(value_at(data, parent))]
        if isinstance(part, str) and part in _MODELS:
            return _MODELS[part]
    return Playbooks


def _keys(model: type[BaseModel]) -> list[str]:
    keys = [field.alias or key for key, field in model.model_fields.items() if key != "digest"]
    if model in (Approve, Parallel, Manual, RunStep):
        keys = list(dict.fromkeys([*keys, *ENTRY_KEYS]))
    return keys


def _pattern(path: Where) -> str:
    if path[0] == "accounts":
        return "an account id has twelve digits"
    return "a name has letters, digits, dots, dashes and underscores, and begins with a letter"


# What people write who want a gate that opens by itself.
_PROCEED = ("proceed", "approve", "continue", "resume")


def _nobody(group: Any) -> bool:
    return _size(group) == 0 and not mapping_of(group).get("slack_usergroup")


def _size(group: Any) -> int:
    return len(_members(group))


def _members(group: Any) -> set[tuple[str, str]]:
    members = mapping_of(group)
    kinds = ("slack_users", "local_users")
    return {(kind, str(name)) for kind in kinds for name in list_of(members.get(kind))}
