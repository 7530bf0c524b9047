"""What people enter: the interactive elements of blocks, and their values as Slack reports them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# By the type of the element: where its value stands in the state, and where its initial value does.
_VALUES: Mapping[str, tuple[str, str]] = {
    "plain_text_input": ("value", "initial_value"),
    "email_text_input": ("value", "initial_value"),
    "url_text_input": ("value", "initial_value"),
    "number_input": ("value", "initial_value"),
    "rich_text_input": ("rich_text_value", "initial_value"),
    "static_select": ("selected_option", "initial_option"),
    "external_select": ("selected_option", "initial_option"),
    "radio_buttons": ("selected_option", "initial_option"),
    "multi_static_select": ("selected_options", "initial_options"),
    "multi_external_select": ("selected_options", "initial_options"),
    "checkboxes": ("selected_options", "initial_options"),
    "users_select": ("selected_user", "initial_user"),
    "conversations_select": ("selected_conversation", "initial_conversation"),
    "channels_select": ("selected_channel", "initial_channel"),
    "multi_users_select": ("selected_users", "initial_users"),
    "multi_conversations_select": ("selected_conversations", "initial_conversations"),
    "multi_channels_select": ("selected_channels", "initial_channels"),
    "datepicker": ("selected_date", "initial_date"),
    "timepicker": ("selected_time", "initial_time"),
    "datetimepicker": ("selected_date_time", "initial_date_time"),
}


class NotPossible(Exception):
    """A person can't do this: there is no such button or field, or Slack doesn't let them."""


def elements(blocks: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], Any]]:
    """Every element that somebody can use, with its block."""
    for block in blocks:
        found = block.get("elements", []) if block.get("type") == "actions" else []
        for element in (*found, block.get("accessory"), block.get("element")):
            if element and element.get("type") != "image":
                yield block, element


def element_of(
    blocks: Iterable[Mapping[str, Any]], action_id: str
) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """The element of this action id, with its block. Raises NotPossible."""
    blocks = list(blocks)
    for block, element in elements(blocks):
        if element.get("action_id") == action_id:
            return block, element
    there = ", ".join(element["action_id"] for _, element in elements(blocks)) or "none"
    raise NotPossible(f"There is no element {action_id!r} here (there are: {there}).")


def entered(element: Mapping[str, Any], given: Any) -> dict[str, Any]:
    """The state of an element in which somebody entered ``given``.

    Options are given by their value or their text. Raises NotPossible where there is no such
    option, or nothing can be entered in the element.
    """
    kind = element["type"]
    if kind not in _VALUES:
        raise NotPossible(f"Nothing can be entered in an element of type {kind}.")
    name, _ = _VALUES[kind]
    if name == "selected_option" and given is not None:
        given = _option(element, given)
    elif name == "selected_options":
        given = [_option(element, each) for each in given or ()]
    return {"type": kind, name: given}


def state(blocks: Iterable[Mapping[str, Any]], values: Mapping[str, Any]) -> dict[str, Any]:
    """``state.values`` of a view or a message: what was entered, else what stood there before.

    ``values`` gives what is entered by action id, or by block id where that holds one element.
    Raises NotPossible where a value is for no element.
    """
    found: dict[str, dict[str, Any]] = {}
    used: set[str] = set()
    for block, element in elements(blocks):
        if element["type"] not in _VALUES:
            continue
        name, initial = _VALUES[element["type"]]
        keys = [k for k in (element["action_id"], block["block_id"]) if k in values]
        if keys:
            used.add(keys[0])
            entry = entered(element, values[keys[0]])
        else:
            empty: list[Any] | None = [] if name == "selected_options" else None
            entry = {"type": element["type"], name: element.get(initial, empty)}
        found.setdefault(block["block_id"], {})[element["action_id"]] = entry
    if missing := set(values) - used:
        raise NotPossible(f"There is no field {', '.join(sorted(missing))} to enter something in.")
    return found


def check(blocks: Iterable[Mapping[str, Any]], entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise NotPossible for what Slack itself doesn't let anybody submit."""
    for block in blocks:
        if block.get("type") != "input":
            continue
        element = block["element"]
        name, _ = _VALUES[element["type"]]
        value = entries[block["block_id"]][element["action_id"]].get(name)
        label = block["label"]["text"]
        if value in (None, "", []):
            if not block.get("optional"):
                raise NotPossible(f"{label!r} must be filled in.")
        elif isinstance(value, str):
            least, most = element.get("min_length", 0), element.get("max_length", 3000)
            if not least <= len(value) <= most:
                raise NotPossible(f"{label!r} must have {least} to {most} characters.")


def action(
    block: Mapping[str, Any], element: Mapping[str, Any], given: Any, action_ts: str
) -> dict[str, Any]:
    """The item of ``actions`` that tells the app what somebody did with the element."""
    if element["type"] == "button":
        used: dict[str, Any] = {
            "action_id": element["action_id"],
            "block_id": block["block_id"],
            "text": element["text"],
        }
        for name in ("value", "style", "url"):
            if name in element:
                used[name] = element[name]
        return used | {"type": "button", "action_ts": action_ts}
    if element["type"] == "overflow":
        chosen = {"type": "overflow", "selected_option": _option(element, given)}
    else:
        chosen = entered(element, given)
    return {
        **chosen,
        "action_id": element["action_id"],
        "block_id": block["block_id"],
        "action_ts": action_ts,
    }


def _option(element: Mapping[str, Any], given: Any) -> Any:
    groups = element.get("option_groups", ())
    options = [*element.get("options", ()), *(o for group in groups for o in group["options"])]
    for option in options:
        if given in (option, option.get("value"), option["text"]["text"]):
            return option
    there = ", ".join(option.get("value", "") for option in options)
    raise NotPossible(f"{element['action_id']!r} has no option {given!r} (it has: {there}).")
