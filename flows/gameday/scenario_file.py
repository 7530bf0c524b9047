"""Scenario files: read strictly, every error at once, each with its line and column, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel, ValidationError

from flows.gameday import worlds
from flows.gameday.scenario import Scenario
from flows.gameday.scenario_meaning import check_meaning
from flows.gameday.worlds import AccountWorld, World, load_world, read_world
from runbooks.errors import InvalidInput
from runbooks.yaml_problems import (
    InvalidFile,
    Problem,
    ProblemsOf,
    bytes_of,
    is_misspelt,
    mapping_of,
    real_path,
    sentence,
    value_at,
)
from runbooks.yaml_source import Where, parse

_SHIPPED = Path(__file__).with_name("scenarios")
_VERSION = 1
_SUFFIXES = (".yaml", ".yml")


class InvalidScenario(InvalidFile):
    """A scenario file is wrong; ``problems`` has every error in it."""

    what_it_is = "The scenario"


def shipped() -> list[str]:
    """The names of the scenarios that ship with Clampdown."""
    return sorted(path.stem for path in _SHIPPED.glob("*.yaml"))


def load_scenario(name: str) -> Scenario:
    """A scenario that ships. Raises InvalidInput where there is none of that name."""
    if name not in shipped():
        raise InvalidInput(
            f"There is no scenario {name!r}.",
            advice=f"There are: {', '.join(shipped())}. A file is given by its path (….yaml).",
        )
    return read_scenario(_SHIPPED / f"{name}.yaml")


def read_scenario(path: Path) -> Scenario:
    """Read and check a scenario file. Raises InvalidScenario with everything that is wrong.

    A ``world`` beside the file is given with its whole path, so that :func:`world_of` finds it from
    anywhere.
    """
    document = bytes_of(path, "give the path of a scenario file, or a name of `gameday list`")
    if isinstance(document, Problem):
        raise InvalidScenario([document])
    return parse_scenario(document, str(path), path.parent)


def validate_scenario(path: Path) -> tuple[Problem, ...]:
    """Everything that is wrong with a scenario file; empty where nothing is."""
    try:
        read_scenario(path)
    except InvalidScenario as error:
        return error.problems
    return ()


def parse_scenario(document: bytes, name: str, folder: Path) -> Scenario:
    """Check a scenario's document; ``folder`` is where its world would be. Raises InvalidScenario."""
    source = parse(document)
    check = _Check(source, name)
    # Of a document that ends early, what is missing says nothing.
    if source.faults and not source.complete:
        raise InvalidScenario(check.problems)
    if not isinstance(source.data, dict):
        if not source.faults:
            check.add((), "the file must be a mapping with `version`, `title`, `timeline`…")
        raise InvalidScenario(check.problems)
    check.version(source.data.get("version"))
    scenario = check.form()
    if check.problems or scenario is None:
        raise InvalidScenario(check.problems)
    scenario = _with_its_world(scenario, folder)
    check_meaning(scenario, check.world(scenario), check)
    if check.problems:
        raise InvalidScenario(check.problems)
    return scenario


def world_of(scenario: Scenario) -> World | AccountWorld:
    """The scenario's world: one that ships, by its name, or that of a file.

    Raises InvalidInput, with the line of what is wrong with the world's file.
    """
    name = scenario.world
    if not name.endswith(_SUFFIXES):
        # A name is no path: nothing else than what ships is read by it.
        if name not in _worlds():
            raise InvalidInput(f"There is no world {name[:80]!r}.")
        return load_world(name)
    try:
        return read_world(Path(name))
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise InvalidInput(f"The world {name[:200]!r} can't be read: {reason}.") from error


def scenario_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of scenario files, for editors."""
    schema = Scenario.model_json_schema(by_alias=False)
    for part in (schema, *schema["$defs"].values()):
        for field in part.get("properties", {}).values():
            if "patternProperties" in field:
                field["additionalProperties"] = False
            # Pydantic has no words for the limits of a number of either kind.
            for limit, word in (("ge", "minimum"), ("le", "maximum")):
                if limit in field:
                    field[word] = field.pop(limit)
    for part, alternatives in _ONE_OF.items():
        _require_one(schema["$defs"][part], alternatives)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Clampdown scenario",
    }


def _worlds() -> list[str]:
    """The names of the worlds that ship."""
    return sorted(path.stem for path in Path(worlds.__file__).parent.glob("*.yaml"))


def _with_its_world(scenario: Scenario, folder: Path) -> Scenario:
    if not scenario.world.endswith(_SUFFIXES):
        return scenario
    return scenario.model_copy(update={"world": str((folder / scenario.world).absolute())})


class _Check(ProblemsOf):
    """What is wrong with a scenario's form: kinds of values, and names of keys."""

    def version(self, version: Any) -> None:
        """Raises InvalidScenario for a newer file: what else is wrong, only a newer one knows."""
        if type(version) is int and version > _VERSION:
            text = f"version {version} is newer than this Clampdown knows; upgrade it"
            self.at_value(("version",), text)
            raise InvalidScenario(self.problems)

    def form(self) -> Scenario | None:
        data = self.source.data
        if "version" in data and (type(data["version"]) is not int or data["version"] != _VERSION):
            self.at_value(("version",), f"'version' must be the whole number {_VERSION}")
        if not isinstance(data.get("start", ""), str):
            # A number would be taken for seconds since 1970.
            self.at_value(("start",), "'start' is a time such as 2026-03-02T09:00:00Z")
        try:
            return Scenario.model_validate(data)
        except ValidationError as error:
            for item in error.errors():
                self._explain(item)
        return None

    def world(self, scenario: Scenario) -> World | AccountWorld | None:
        """The scenario's world; None where it can't be read, which is a problem of its own."""
        try:
            return world_of(scenario)
        except InvalidInput as error:
            meant = ""
            if not scenario.world.endswith(_SUFFIXES):
                meant = self.suggest(scenario.world, _worlds())
            self.at_value(("world",), f"{str(error).rstrip('.')}{meant}")
        return None

    def _explain(self, item: Any) -> None:
        path = real_path(item["loc"], self.source.data)
        kind, last = item["type"], item["loc"][-1] if item["loc"] else ""
        here = value_at(self.source.data, path)
        if path[:1] in {("version",), ("start",)} and self.problems:
            return
        if kind == "extra_forbidden":
            self.add(path, self.unknown_key(str(last), _keys(_model_at(path[:-1]))))
        elif kind == "missing":
            model = _model_at(path)
            unknown = [key for key in mapping_of(here) if key not in _keys(model)]
            meant = next(names for names in _names_in(model) if last in names)
            if not any(is_misspelt(name, unknown) for name in meant):
                self.add(path, f"{meant[-1]!r} is missing")
        elif kind == "too_short" and here:
            pass  # Pydantic counts only what is valid in it.
        elif kind == "string_pattern_mismatch" and last == "[key]":
            text = "letters, digits, dots, dashes and underscores, beginning with a letter"
            self.add(path, f"the name {str(path[-1])[:80]!r} is not valid: {text}")
        elif kind == "value_error" and isinstance(here, dict):
            # It is about the whole of it, and has no name of its own.
            self.at_value(path, str(item["ctx"]["error"]))
        elif kind in {"int_type", "float_type"} and last in {"int", "float"}:
            # Of a number of either kind, pydantic speaks twice.
            self.at_value(path, sentence({**item, "type": "float_type"}, path))
        elif kind.startswith(("datetime_", "timezone_")):
            self.at_value(path, "'start' is a time such as 2026-03-02T09:00:00Z, with its zone")
        else:
            self.at_value(path, sentence(item, path))


def _model_at(path: Where) -> type[BaseModel]:
    """The model of the mapping at a path."""
    here: Any = Scenario
    for part in path:
        here = next(_within(here, part), None)
    return next((kind for kind in _kinds(here) if _is_model(kind)), Scenario)


def _within(annotation: Any, part: str | int) -> Iterator[Any]:
    """What a part of a value may be, by what the whole is."""
    for kind in _kinds(annotation):
        if _is_model(kind):
            for name, field in kind.model_fields.items():
                if part in _names(name, field):
                    yield field.annotation
        elif get_origin(kind) is dict:
            yield get_args(kind)[1]
        elif get_origin(kind) is tuple:
            yield get_args(kind)[0]


def _kinds(annotation: Any) -> Iterator[Any]:
    """The alternatives of a type."""
    if get_origin(annotation) is Annotated:
        yield from _kinds(get_args(annotation)[0])
    elif get_origin(annotation) in {Union, UnionType}:
        for item in get_args(annotation):
            yield from _kinds(item)
    else:
        yield annotation


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _keys(model: type[BaseModel]) -> list[str]:
    return [name for names in _names_in(model) for name in names]


def _names_in(model: type[BaseModel]) -> list[list[str]]:
    """What each field of a model may be called in a file."""
    return [_names(name, field) for name, field in model.model_fields.items()]


def _names(name: str, field: Any) -> list[str]:
    alias = field.validation_alias
    return [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else [name]


# Of each part: the keys of which one has to be there, and no other. A connection's ends have two
# names each.
_ONE_OF: dict[str, tuple[tuple[str, ...], ...]] = {
    "Event": (("finding", "fault", "attacker", "connection", "person", "dies"),),
    "FindingInject": (("on", "resource"),),
    "Objective": (("until", "holds"),),
    "ConnectionInject": (("source", "from"), ("destination", "to")),
}


def _require_one(part: dict[str, Any], alternatives: tuple[tuple[str, ...], ...]) -> None:
    for names in alternatives:
        known = next(name for name in names if name in part["properties"])
        for name in names:
            part["properties"].setdefault(name, part["properties"][known])
        part["required"] = [name for name in part.get("required", ()) if name not in names]
    part["allOf"] = [{"oneOf": [{"required": [name]} for name in names]} for names in alternatives]


if __name__ == "__main__":
    print(json.dumps(scenario_schema(), indent=2))
