"""Loading playbooks.yaml strictly: every error at once, each with its line and column, in words."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from runbooks.errors import InvalidInput
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
from runbooks.yaml_source import Fault, Position, Source, Where, parse, read_file

SCHEMA_VERSION = 1
# Comparing names takes time: a file full of nonsense is answered in less than a second all the same.
_MAX_SUGGESTIONS = 100
_MAX_CHOICES = 200
_MAX_MESSAGE = 400


@dataclass(frozen=True, order=True)
class Problem:
    """An error at a place of a file."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"

    def to_json(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "message": self.message,
        }


class InvalidPlaybooks(InvalidInput):
    """The playbooks file is wrong; ``problems`` has every error in it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        lines = "\n".join(str(problem) for problem in self.problems)
        super().__init__(f"The playbooks can't be used; nothing was done.\n{lines}")


def load(path: Path, steps: Mapping[str, type[AnyStep]] = STEPS) -> Playbooks:
    """Read and check a playbooks file. Raises InvalidPlaybooks with everything that is wrong."""
    try:
        document = read_file(path)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
        advice = "give --playbooks FILE or set CLAMPDOWN_PLAYBOOKS"
        raise InvalidPlaybooks(
            [Problem(str(path), 1, 1, f"can't be read: {reason}; {advice}")]
        ) from error
    return loads(document, str(path), steps)


def loads(document: bytes, name: str, steps: Mapping[str, type[AnyStep]] = STEPS) -> Playbooks:
    """Check a playbooks document. Raises InvalidPlaybooks."""
    source = parse(document)
    check = _Check(source, name, steps)
    for fault in source.faults:
        at = fault.position
        check.problems.append(Problem(name, at.line, at.column, fault.message))
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


class _Check:
    """Collects problems: first those of form, by the models, then those of meaning."""

    def __init__(self, source: Source, name: str, steps: Mapping[str, type[AnyStep]]) -> None:
        self.source = source
        self.name = name
        self.steps = steps
        self.problems: list[Problem] = []
        self._faults: dict[int, list[Fault]] = {}
        for fault in source.faults:
            self._faults.setdefault(fault.position.line, []).append(fault)
        self._suggestions = 0

    def add(self, path: Where, message: str) -> None:
        self._report(self.source.position(path), message)

    def at_value(self, path: Where, message: str, *, offset: int = 0) -> None:
        at = self.source.values.get(path) or self.source.position(path)
        self._report(Position(at.line, at.column + offset), message)

    def _report(self, at: Position, message: str) -> None:
        # What is wrong as YAML has no value that could be wrong as well.
        if any(fault.position == at for fault in self._faults.get(at.line, ())):
            return
        if len(message) > _MAX_MESSAGE:
            message = f"{message[: _MAX_MESSAGE - 1]}…"
        self.problems.append(Problem(self.name, at.line, at.column, message))

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
        here = _at(self.source.data, path)
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
            self.at_value(path, _sentence(item, path))

    def _is_misspelt(self, name: str, path: Where) -> bool:
        """Whether what is missing is there under a name that is unknown, which is said already."""
        node = _mapping(_at(self.source.data, path))
        model = _model_at((*path, name), self.source.data)
        unknown = [key for key in node if key not in _keys(model)]
        if name == "step" and model is RunStep:
            return bool(unknown)
        return any(difflib.get_close_matches(name, [key[:80]], 1) for key in unknown[:20])

    def _unknown(self, name: str, model: type[BaseModel]) -> str:
        keys = [key for key in _keys(model) if key != name]
        known = self._suggest(name, keys) or f"; there is {', '.join(keys)}"
        return f"unknown key {name!r}{known}"

    def _suggest(self, name: str, known: Iterable[str]) -> str:
        choices = [str(item) for item in known]
        if len(choices) > _MAX_CHOICES or self._suggestions >= _MAX_SUGGESTIONS or len(name) > 80:
            return ""
        self._suggestions += 1
        close = difflib.get_close_matches(name, choices, 1)
        if close:
            return f"; did you mean {close[0]!r}?"
        return f"; there is {', '.join(sorted(choices))}" if 0 < len(choices) <= 12 else ""

    def meaning(self, data: Mapping[str, Any]) -> None:
        """What the models can't see: names that must exist, ids, order, gates, conditions."""
        approvers = _mapping(data.get("approvers"))
        playbooks = _mapping(data.get("playbooks"))
        for key, account in _mapping(data.get("accounts")).items():
            role = _mapping(account).get("role")
            if isinstance(role, str) and role.startswith("arn:") and f"::{key}:" not in role:
                self.at_value(
                    ("accounts", key, "role"), f"the role belongs to another account than {key}"
                )
        for index, group in enumerate(_sequence(_mapping(data.get("slack")).get("triggers"))):
            self._group(("slack", "triggers", index), group, approvers)
        for team_name, team in _mapping(data.get("teams")).items():
            if "approvers" in _mapping(team):
                self._group(("teams", team_name, "approvers"), team["approvers"], approvers)
        for index, route in enumerate(_sequence(data.get("routes"))):
            name = _mapping(route).get("playbook")
            if isinstance(name, str) and name not in playbooks:
                where = ("routes", index, "playbook")
                self.at_value(
                    where, f"there is no playbook {name!r}{self._suggest(name, playbooks)}"
                )
        for name, playbook in playbooks.items():
            self._playbook(("playbooks", name), _mapping(playbook), approvers)

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
                    self._gate((*entry_path, "approve"), _mapping(entry["approve"]), approvers, ids)
                if "manual" in entry:
                    task = _mapping(entry["manual"])
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
                (*path, "step"), f"there is no step {name!r}{self._suggest(name, self.steps)}"
            )
        values = entry.get("with", {})
        if name in self.steps and isinstance(values, dict):
            self._params((*path, "with"), values, self.steps[name].Params)
        for where, text in _texts((*path, "with"), values):
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
                elif not any(True for _ in paths_in(_at(values, item["loc"]))):
                    self.at_value(where, _sentence(item, where))

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
        for index, group in enumerate(_sequence(gate.get("notify"))):
            self._group((*path, "notify", index), group, approvers, may_be_empty=True)
        for index, item in enumerate(_sequence(gate.get("any_of"))):
            group = _mapping(item).get("group")
            self._group((*path, "any_of", index, "group"), group, approvers)
            self._quorum(
                (*path, "any_of", index, "count"), group, _mapping(item).get("count"), approvers
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
            known = self._suggest(name, approvers)
            self.at_value(where, f"there is no group {name!r} under `approvers`{known}")
        elif not may_be_empty and _nobody(approvers[name]):
            self.at_value(where, f"the group {name!r} has no members: nobody could ever decide")

    def _quorum(self, where: Where, name: Any, count: Any, approvers: Mapping[str, Any]) -> None:
        if not isinstance(name, str) or not isinstance(count, int) or name not in approvers:
            return
        if _mapping(approvers[name]).get("slack_usergroup"):
            return
        if (size := _size(approvers[name])) and count > size:
            self.at_value(where, f"{count} of {name!r} can never decide: it has {size} member(s)")

    def _denials(self, path: Where, gate: Mapping[str, Any], approvers: Mapping[str, Any]) -> None:
        count = gate.get("deny_at")
        named = [gate.get("by"), *(_mapping(i).get("group") for i in _sequence(gate.get("any_of")))]
        groups = [_mapping(approvers.get(str(name))) for name in named]
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
    for index, entry in enumerate(_sequence(playbook.get("steps"))):
        where = (*path, "steps", index)
        if isinstance(entry, dict):
            inner = enumerate(_sequence(entry.get("parallel")))
            side_by_side = [((*where, "parallel", n), s) for n, s in inner if isinstance(s, dict)]
            yield [(where, entry), *side_by_side]


def _texts(path: Where, value: Any) -> Iterator[tuple[Where, str]]:
    """Every text in a value, with where it stands."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts((*path, key), item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts((*path, index), item)


def _names_output(parts: Sequence[str | int], outputs: Collection[str]) -> bool:
    """Whether the rest of a ``steps.…`` path begins with a step's id and goes on.

    An id may have dots itself: ``steps.ec2.snapshot.set``.
    """
    names = [str(part) for part in parts]
    return any(".".join(names[:end]) in outputs for end in range(1, len(names)))


def _real_path(loc: tuple[Any, ...], source: Source) -> Where:
    """The path in the file: what pydantic adds for unions and keys is left out."""
    path: Where = ()
    node: Any = source.data
    for part in loc:
        inside = (isinstance(node, dict) and part in node) or (
            isinstance(node, list) and isinstance(part, int) and part < len(node)
        )
        if inside:
            path, node = (*path, part), node[part]
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
        node = _at(data, _real_path_of(item["loc"][:position], data))
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


def _real_path_of(loc: tuple[Any, ...], data: Any) -> Where:
    path: Where = ()
    node = data
    for part in loc:
        if (isinstance(node, dict) and part in node) or (
            isinstance(node, list) and isinstance(part, int) and part < len(node)
        ):
            path, node = (*path, part), node[part]
    return path


def _at(data: Any, path: Iterable[Any]) -> Any:
    node = data
    for part in path:
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            return None
    return node


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
            node = _at(data, parent)
            return {model.__name__: model for model in ENTRY_KEYS.values()}[_meant(node)]
        if part == "protected":
            return _RULES[_meant_rule(_at(data, parent))]
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

_KINDS = {
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
}


def _name(path: Where) -> str:
    """What the value is called: an item of a list by the list's name and its index."""
    if not path:
        return "the file"
    if isinstance(path[-1], int) and len(path) > 1:
        return f"{path[-2]}[{path[-1]}]"
    return str(path[-1])


def _sentence(item: Any, path: Where) -> str:
    name = _name(path)
    kind, context = item["type"], item.get("ctx", {})
    shown = "nothing" if item["input"] is None else repr(item["input"])[:80]
    if kind in _KINDS:
        return f"{name!r} {_KINDS[kind]}, not {shown}"
    if kind in {"literal_error", "enum"}:
        given = item["input"] if isinstance(item["input"], str) else shown
        allowed = str(context.get("expected", "")).replace(" or ", ", ").replace("'", "")
        return f"{name!r} can't be {given}; it is one of: {allowed}"
    if kind in {"value_error", "assertion_error"}:
        reason = str(context.get("error", item["msg"]))
        return f"{name!r} {reason}" if reason.startswith("must ") else f"{name!r}: {reason}"
    if kind == "string_pattern_mismatch":
        return f"{name!r} is not valid: {shown}{_expected(name)}"
    if kind in {"too_short", "string_too_short"}:
        return f"{name!r} is empty"
    if kind in {"too_long", "string_too_long"}:
        return f"{name!r} is too long; at most {context.get('max_length')} are allowed"
    if kind in {"greater_than_equal", "greater_than"}:
        return f"{name!r} must be at least {context.get('ge', context.get('gt'))}, not {shown}"
    if kind in {"less_than_equal", "less_than"}:
        return f"{name!r} must be at most {context.get('le', context.get('lt'))}, not {shown}"
    return f"{name!r} is not valid: {shown}"


def _expected(name: str) -> str:
    hints = {
        "role": "; it is an IAM role's ARN, such as arn:aws:iam::111122223333:role/clampdown",
        "arn": "; it is an ARN or a glob of one",
        "id": "; letters, digits, dots, dashes and underscores, beginning with a letter",
    }
    if name.startswith("regions["):
        return "; it is a Region such as eu-west-1"
    return hints.get(name, "")


def _nobody(group: Any) -> bool:
    return _size(group) == 0 and not _mapping(group).get("slack_usergroup")


def _size(group: Any) -> int:
    return len(_members(group))


def _members(group: Any) -> set[tuple[str, str]]:
    members = _mapping(group)
    kinds = ("slack_users", "local_users")
    return {(kind, str(name)) for kind in kinds for name in _sequence(members.get(kind))}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _sequence(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
