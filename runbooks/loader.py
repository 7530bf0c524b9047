"""Loading playbooks.yaml strictly: every error at once, each with its line and column, in words."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from runbooks.errors import InvalidInput
from runbooks.lint import ungated
from runbooks.lookup import ROOTS, expression_fault, paths_in, segments
from runbooks.playbook import (
    ENTRY_KEYS,
    Account,
    Alternative,
    Approve,
    ApproverGroup,
    Budgets,
    Gate,
    Guardrails,
    Manual,
    ManualTask,
    Parallel,
    Playbook,
    Playbooks,
    Route,
    RouteMatch,
    RunStep,
)
from runbooks.registry import STEPS
from runbooks.step import AnyStep
from runbooks.yaml_source import Source, Where, parse, read_file

SCHEMA_VERSION = 1


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
    except OSError as error:
        reason = error.strerror or str(error)
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
    if not isinstance(source.data, dict):
        if not source.faults:
            check.add((), "the file must be a mapping with `version`, `accounts`, `playbooks`…")
        raise InvalidPlaybooks(check.problems)
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

    def add(self, path: Where, message: str, *, column: int = 0) -> None:
        at = self.source.position(path)
        self.problems.append(Problem(self.name, at.line, at.column + column, message))

    def at_value(self, path: Where, message: str, *, offset: int = 0) -> None:
        at = self.source.values.get(path) or self.source.position(path)
        self.problems.append(Problem(self.name, at.line, at.column + offset, message))

    def models(self) -> Playbooks | None:
        data = self.source.data
        version = data.get("version")
        if isinstance(version, int) and not isinstance(version, bool) and version > SCHEMA_VERSION:
            self.at_value(
                ("version",), f"version {version} is newer than this Clampdown knows; upgrade it"
            )
            return None
        if "digest" in data:
            self.add(("digest",), _unknown("digest", Playbooks))
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
        if kind == "extra_forbidden":
            self.add(path, _unknown(name, _model_at(path, self.source.data)))
        elif kind == "missing":
            self.add(path[:-1], f"{name!r} is missing")
        elif path and kind == "string_pattern_mismatch" and item["loc"][-1] == "[key]":
            self.add(path, f"the key {name!r} is not valid: {_pattern(path)}")
        else:
            self.at_value(path, _sentence(item, path))

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
        for index, route in enumerate(_sequence(data.get("routes"))):
            name = _mapping(route).get("playbook")
            if isinstance(name, str) and name not in playbooks:
                where = ("routes", index, "playbook")
                self.at_value(where, f"there is no playbook {name!r}{_suggest(name, playbooks)}")
        for name, playbook in playbooks.items():
            self._playbook(("playbooks", name), _mapping(playbook), approvers)

    def _playbook(
        self, path: Where, playbook: Mapping[str, Any], approvers: Mapping[str, Any]
    ) -> None:
        ids: dict[str, Where] = {}
        for entry_path, entry in _entries(path, playbook):
            if "step" in entry:
                self._step(entry_path, entry, ids)
            if "when" in entry:
                self._condition((*entry_path, "when"), entry["when"])
            if "approve" in entry:
                self._gate((*entry_path, "approve"), _mapping(entry["approve"]), approvers, ids)
            if "manual" in entry:
                task = _mapping(entry["manual"])
                self._group((*entry_path, "manual", "by"), task.get("by"), approvers)
                self._claim((*entry_path, "manual"), task.get("id", "manual"), ids)
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

    def _step(self, path: Where, entry: Mapping[str, Any], ids: dict[str, Where]) -> None:
        name = entry["step"]
        if not isinstance(name, str):
            return
        if name not in self.steps:
            self.at_value((*path, "step"), f"there is no step {name!r}{_suggest(name, self.steps)}")
        values = entry.get("with", {})
        if name in self.steps and isinstance(values, dict):
            self._params((*path, "with"), values, self.steps[name].Params)
        for found in paths_in(values):
            self._path((*path, "with"), found, ids)
        self._claim(path, entry.get("id", name), ids)

    def _params(self, path: Where, values: dict[str, Any], model: type[BaseModel]) -> None:
        try:
            model.model_validate(values)
        except ValidationError as error:
            for item in error.errors():
                where = (*path, *item["loc"])
                if item["type"] == "extra_forbidden":
                    self.add(where, _unknown(str(item["loc"][-1]), model))
                elif item["type"] == "missing":
                    self.add(path, f"{item['loc'][-1]!r} is missing")
                elif not any(True for _ in paths_in(_at(values, item["loc"]))):
                    self.at_value(where, _sentence(item, where))

    def _path(self, where: Where, path: str, ids: Mapping[str, Where]) -> None:
        parts = segments(path)
        if parts is None:
            self.at_value(where, f"${{{path}}} is not a path such as ${{finding.id}}")
        elif parts[0] not in ROOTS:
            known = ", ".join(ROOTS)
            self.at_value(where, f"${{{path}}}: there is no {parts[0]!r}; there is {known}")
        elif parts[0] == "steps" and not any(
            path.startswith((f"steps.{known}.", f'steps."{known}".')) for known in ids
        ):
            self.at_value(where, f"${{{path}}} names no earlier step of this playbook")

    def _condition(self, where: Where, expression: Any) -> None:
        if not isinstance(expression, str):
            return
        if fault := expression_fault(expression):
            self.at_value(where, f"the condition can't be read: {fault[0]}", offset=fault[1])

    def _gate(
        self,
        path: Where,
        gate: Mapping[str, Any],
        approvers: Mapping[str, Any],
        ids: dict[str, Where],
    ) -> None:
        self._claim(path, gate.get("id"), ids)
        if gate.get("otherwise") in ("proceed", "approve", "continue", "resume"):
            self.problems = [p for p in self.problems if "otherwise" not in p.message]
            self.at_value(
                (*path, "otherwise"),
                "no answer never means yes: `otherwise` is deny or escalate",
            )
        for key in ("by", "escalate_to", "break_glass"):
            if key in gate:
                self._group((*path, key), gate[key], approvers)
        for index, group in enumerate(_sequence(gate.get("notify"))):
            self._group((*path, "notify", index), group, approvers, may_be_empty=True)
        for index, item in enumerate(_sequence(gate.get("any_of"))):
            group = _mapping(item).get("group")
            self._group((*path, "any_of", index, "group"), group, approvers)
            self._quorum((*path, "any_of", index), group, _mapping(item).get("count"), approvers)
        self._quorum((*path, "quorum"), gate.get("by"), gate.get("quorum"), approvers)

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
            known = _suggest(name, approvers)
            self.at_value(where, f"there is no group {name!r} under `approvers`{known}")
        elif not may_be_empty and _size(approvers[name]) == 0:
            self.at_value(where, f"the group {name!r} has no members: nobody could ever decide")

    def _quorum(self, where: Where, name: Any, count: Any, approvers: Mapping[str, Any]) -> None:
        if not isinstance(name, str) or not isinstance(count, int) or name not in approvers:
            return
        if (size := _size(approvers[name])) and count > size:
            self.at_value(where, f"{count} of {name!r} can never decide: it has {size} member(s)")

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


def _entries(path: Where, playbook: Mapping[str, Any]) -> Iterator[tuple[Where, dict[str, Any]]]:
    for index, entry in enumerate(_sequence(playbook.get("steps"))):
        where = (*path, "steps", index)
        if isinstance(entry, dict):
            yield where, entry
            for inner, step in enumerate(_sequence(entry.get("parallel"))):
                if isinstance(step, dict):
                    yield (*where, "parallel", inner), step


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


_UNION_MEMBERS = {model.__name__ for model in (*ENTRY_KEYS.values(),)} | {
    "ProtectedTag",
    "ProtectedArn",
}


def _wrong_alternative(item: Any, data: Any) -> bool:
    """Whether the error is of an alternative that was not meant: entries say what they are."""
    for position, part in enumerate(item["loc"]):
        if part not in _UNION_MEMBERS:
            continue
        before = _real_path_of(item["loc"][:position], data)
        node = _at(data, before)
        if not isinstance(node, dict):
            return bool(part != "RunStep")
        return bool(part != _meant(node))
    return False


def _meant(node: Mapping[str, Any]) -> str:
    for key, model in ENTRY_KEYS.items():
        if key in node:
            return model.__name__
    if "arn" in node:
        return "ProtectedArn"
    if "tag" in node:
        return "ProtectedTag"
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
            meant = _meant(node) if isinstance(node, dict) else "RunStep"
            return {model.__name__: model for model in ENTRY_KEYS.values()}.get(meant, RunStep)
        if isinstance(part, str) and part in _MODELS:
            return _MODELS[part]
    return Playbooks


def _unknown(name: str, model: type[BaseModel]) -> str:
    keys = [field.alias or key for key, field in model.model_fields.items() if key != "digest"]
    if model in (Approve, Parallel, Manual, RunStep):
        keys = list(dict.fromkeys([*keys, *ENTRY_KEYS]))
    known = _suggest(name, keys) or f"; there is {', '.join(keys)}"
    return f"unknown key {name!r}{known}"


def _suggest(name: str, known: Iterable[str]) -> str:
    choices = [str(item) for item in known]
    close = difflib.get_close_matches(name, choices, 1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there is {', '.join(sorted(choices))}" if 0 < len(choices) <= 12 else ""


def _pattern(path: Where) -> str:
    if path[0] == "accounts":
        return "an account id has twelve digits"
    return "a name has letters, digits, dots, dashes and underscores, and begins with a letter"


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


def _sentence(item: Any, path: Where) -> str:
    name = str(path[-1]) if path else "the file"
    kind, context = item["type"], item.get("ctx", {})
    shown = repr(item["input"])[:80]
    if kind in _KINDS:
        return f"{name!r} {_KINDS[kind]}, not {shown}"
    if kind in {"literal_error", "enum"}:
        given = item["input"] if isinstance(item["input"], str) else shown
        allowed = str(context.get("expected", "")).replace(" or ", ", ").replace("'", "")
        return f"{name!r} can't be {given}; it is one of: {allowed}"
    if kind in {"value_error", "assertion_error"}:
        reason = str(context.get("error", item["msg"]))
        return f"{name!r}: {reason}" if not reason.startswith("is ") else f"{name!r} {reason}"
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
    if name.isdigit():
        return "; it is a Region such as eu-west-1"
    return hints.get(name, "")


def _size(group: Any) -> int:
    members = _mapping(group)
    return sum(
        len(set(map(str, _sequence(members.get(k))))) for k in ("slack_users", "local_users")
    )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _sequence(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
