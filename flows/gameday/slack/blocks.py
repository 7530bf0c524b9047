"""Block Kit as Slack checks it: which blocks and elements there are, and their limits.

The limits are those of docs.slack.dev, "Block Kit" reference; the words of the errors are Slack's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Check = Callable[[Any, str], Iterator[str]]

MOST_IN_MESSAGE = 50
MOST_IN_VIEW = 100
# Slack doesn't document it. Measured by its users: about 13,200 characters for the whole message,
# and 100 to 125 less for every block (github.com/slackapi/bolt-js, issues 2509 and 2867).
MOST_CHARACTERS = 13_200
A_BLOCK_COUNTS = 100


def problems_of_message(blocks: Sequence[Any]) -> list[str]:
    """What Slack finds wrong with a message's blocks. Nothing where they are right."""
    return list(_blocks(blocks, "/blocks", MOST_IN_MESSAGE, "message"))


def too_long_together(blocks: Sequence[Any]) -> bool:
    """Whether all blocks of a message are too long for it (``msg_blocks_too_long``)."""
    return _characters(list(blocks)) + A_BLOCK_COUNTS * len(blocks) > MOST_CHARACTERS


def problems_of_view(view: Mapping[str, Any], kind: str) -> list[str]:
    """What Slack finds wrong with a modal or a Home tab (``kind`` ``modal`` or ``home``)."""
    return list(_view(view, kind))


def _view(view: Mapping[str, Any], kind: str) -> Iterator[str]:
    at = "/view"
    if view.get("type") != kind:
        yield _at(f"must be of type `{kind}`", f"{at}/type")
    yield from _VIEWS[kind](view, at)
    blocks = view.get("blocks")
    if not isinstance(blocks, list):
        return
    yield from _blocks(blocks, f"{at}/blocks", MOST_IN_VIEW, kind)
    if kind == "modal" and not view.get("submit"):
        for number, block in enumerate(blocks):
            if isinstance(block, Mapping) and block.get("type") == "input":
                yield _at(
                    "must define `submit` to use an `input` block in modals",
                    f"{at}/blocks/{number}/input",
                )


def _blocks(blocks: Sequence[Any], at: str, most: int, surface: str) -> Iterator[str]:
    if len(blocks) > most:
        yield _at(f"no more than {most} items allowed", at)
    block_ids: set[str] = set()
    for number, block in enumerate(blocks):
        here = f"{at}/{number}"
        yield from _kinds(_BLOCKS[surface])(block, here)
        if not isinstance(block, Mapping):
            continue
        block_id = block.get("block_id")
        if block_id in block_ids:
            yield _at(f"`block_id` {block_id!r} already exists", f"{here}/block_id")
        block_ids.add(block_id or f"number {number}")
        if block.get("type") == "section" and not (block.get("text") or block.get("fields")):
            yield _at("must define either `text` or `fields`", here)
        yield from _same_action_ids(block, here)


def _same_action_ids(block: Mapping[str, Any], at: str) -> Iterator[str]:
    seen: set[str] = set()
    elements = block.get("elements")
    for number, element in enumerate(elements if isinstance(elements, list) else ()):
        action_id = element.get("action_id") if isinstance(element, Mapping) else None
        if action_id is not None and action_id in seen:
            yield _at(f"`action_id` {action_id!r} already exists", f"{at}/elements/{number}")
        seen.add(action_id or "")


def _characters(value: Any) -> int:
    if isinstance(value, Mapping):
        own = len(value["text"]) if isinstance(value.get("text"), str) else 0
        return own + sum(_characters(item) for item in value.values())
    return sum(_characters(item) for item in value) if isinstance(value, list) else 0


def _at(what: str, pointer: str) -> str:
    return f"{what} [json-pointer:{pointer}]"


def _string(most: int, least: int = 1) -> Check:
    def check(value: Any, at: str) -> Iterator[str]:
        if not isinstance(value, str):
            yield _at("must be a string", at)
        elif len(value) > most:
            yield _at(f"must be less than {most + 1} characters", at)
        elif len(value) < least:
            yield _at(f"must be more than {least - 1} characters", at)

    return check


def _one_of(*values: Any) -> Check:
    def check(value: Any, at: str) -> Iterator[str]:
        if value not in values:
            yield _at("must be a valid enum value", at)

    return check


def _anything(value: Any, at: str) -> Iterator[str]:
    yield from ()


def _boolean(value: Any, at: str) -> Iterator[str]:
    if not isinstance(value, bool):
        yield _at("must be a boolean", at)


def _integer(value: Any, at: str) -> Iterator[str]:
    if isinstance(value, bool) or not isinstance(value, int):
        yield _at("must be an integer", at)


def _listed(check_item: Check, most: int, least: int = 1) -> Check:
    def check(value: Any, at: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield _at("must be an array", at)
            return
        if len(value) > most:
            yield _at(f"no more than {most} items allowed", at)
        if len(value) < least:
            yield _at(f"must provide at least {least} items", at)
        for number, item in enumerate(value):
            yield from check_item(item, f"{at}/{number}")

    return check


def _record(required: Mapping[str, Check], optional: Mapping[str, Check]) -> Check:
    def check(value: Any, at: str) -> Iterator[str]:
        if not isinstance(value, Mapping):
            yield _at("must be an object", at)
            return
        for name in required:
            if value.get(name) is None:
                yield _at(f"missing required field: {name}", at)
        for name, item in value.items():
            known = required.get(name) or optional.get(name)
            if known is None:
                yield _at(f"invalid additional property: {name}", at)
            elif item is not None:
                yield from known(item, f"{at}/{name}")

    return check


def _kinds(of_type: Mapping[str, Check], what: str = "type") -> Check:
    def check(value: Any, at: str) -> Iterator[str]:
        if not isinstance(value, Mapping):
            yield _at("must be an object", at)
        elif "type" not in value:
            yield _at("missing required field: type", at)
        elif value["type"] not in of_type:
            yield _at(f"unsupported {what}: {value['type']}", f"{at}/type")
        else:
            yield from of_type[value["type"]](value, at)

    return check


def _text(most: int, *, plain: bool = False) -> Check:
    kinds: dict[str, Check] = {
        "plain_text": _record({"type": _anything, "text": _string(most)}, {"emoji": _boolean})
    }
    if not plain:
        kinds["mrkdwn"] = _record(
            {"type": _anything, "text": _string(most)}, {"verbatim": _boolean}
        )
    return _kinds(kinds)


_ID = {"block_id": _string(255)}
_STYLE = _one_of("primary", "danger")
_CONFIRM = _record(
    {"title": _text(100, plain=True), "text": _text(300)},
    {"confirm": _text(30, plain=True), "deny": _text(30, plain=True), "style": _STYLE},
)
_OPTION = _record(
    {"text": _text(75), "value": _string(150)},
    {"description": _text(75), "url": _string(3000)},
)
_GROUP = _record({"label": _text(75, plain=True), "options": _listed(_OPTION, 100)}, {})
_OPTIONS = {"options": _listed(_OPTION, 100), "option_groups": _listed(_GROUP, 100)}


def _block(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    return _record({"type": _anything, **required}, {**_ID, **(optional or {})})


def _element(required: Mapping[str, Check], **optional: Check) -> Check:
    always = {"action_id": _string(255), "confirm": _CONFIRM, "focus_on_load": _boolean}
    return _record({"type": _anything, **required}, {**always, **optional})


_PLACEHOLDER = _text(150, plain=True)


def _select(**optional: Check) -> Check:
    return _element({}, placeholder=_PLACEHOLDER, **optional)


def _ids(most: int = 100) -> Check:
    return _listed(_string(255), most)


_IMAGE = _record(
    {"type": _anything, "alt_text": _string(2000)},
    {"image_url": _string(3000), "slack_file": _anything},
)
_FEW = _listed(_OPTION, 10)
_LENGTHS = {"min_length": _integer, "max_length": _integer}
_TYPED: Mapping[str, Check] = {"initial_value": _string(3000, 0), "placeholder": _PLACEHOLDER}
_DISPATCH: Mapping[str, Check] = {"dispatch_action_config": _anything}

_SINGLE: Mapping[str, Check] = {
    "button": _element(
        {"text": _text(75, plain=True)},
        url=_string(3000),
        value=_string(2000),
        style=_STYLE,
        accessibility_label=_string(75),
    ),
    "checkboxes": _element({"options": _FEW}, initial_options=_FEW),
    "radio_buttons": _element({"options": _FEW}, initial_option=_OPTION),
    "datepicker": _select(initial_date=_string(10)),
    "timepicker": _select(initial_time=_string(5), timezone=_string(255)),
    "datetimepicker": _element({}, initial_date_time=_integer),
    "overflow": _element({"options": _listed(_OPTION, 5)}),
    "static_select": _select(**_OPTIONS, initial_option=_OPTION),
    "external_select": _select(min_query_length=_integer, initial_option=_OPTION),
    "users_select": _select(initial_user=_string(255)),
    "channels_select": _select(initial_channel=_string(255), response_url_enabled=_boolean),
    "conversations_select": _select(
        initial_conversation=_string(255),
        default_to_current_conversation=_boolean,
        response_url_enabled=_boolean,
        filter=_anything,
    ),
}
_MULTIPLE: Mapping[str, Check] = {
    "multi_static_select": _select(
        **_OPTIONS, initial_options=_listed(_OPTION, 100), max_selected_items=_integer
    ),
    "multi_users_select": _select(initial_users=_ids(), max_selected_items=_integer),
    "multi_channels_select": _select(initial_channels=_ids(), max_selected_items=_integer),
    "multi_conversations_select": _select(
        initial_conversations=_ids(), max_selected_items=_integer, filter=_anything
    ),
}
_INPUTS: Mapping[str, Check] = {
    "plain_text_input": _element({}, **_TYPED, **_LENGTHS, **_DISPATCH, multiline=_boolean),
    "email_text_input": _element({}, **_TYPED, **_DISPATCH),
    "url_text_input": _element({}, **_TYPED, **_DISPATCH),
    "number_input": _element(
        {"is_decimal_allowed": _boolean},
        **_TYPED,
        **_DISPATCH,
        min_value=_string(255),
        max_value=_string(255),
    ),
    "rich_text_input": _select(initial_value=_anything, **_DISPATCH),
}
_NOT_TYPED = {k: v for k, v in _SINGLE.items() if k not in ("button", "overflow")}

_EVERYWHERE: Mapping[str, Check] = {
    "actions": _block({"elements": _listed(_kinds(_SINGLE, "element"), 25)}),
    "context": _block(
        {
            "elements": _listed(
                _kinds(
                    {
                        "image": _IMAGE,
                        "mrkdwn": _text(3000),
                        "plain_text": _text(3000),
                    }
                ),
                10,
            )
        }
    ),
    "divider": _block({}),
    "header": _block({"text": _text(150, plain=True)}),
    "image": _block(
        {"alt_text": _string(2000)},
        {"image_url": _string(3000), "slack_file": _anything, "title": _text(2000, plain=True)},
    ),
    "input": _block(
        {
            "label": _text(2000, plain=True),
            "element": _kinds({**_INPUTS, **_NOT_TYPED, **_MULTIPLE}, "element"),
        },
        {"hint": _text(2000, plain=True), "optional": _boolean, "dispatch_action": _boolean},
    ),
    "rich_text": _block({"elements": _listed(_anything, 1000, 0)}),
    "section": _block(
        {},
        {
            "text": _text(3000),
            "fields": _listed(_text(2000), 10),
            "accessory": _kinds({**_SINGLE, **_MULTIPLE, "image": _IMAGE}, "element"),
            "expand": _boolean,
        },
    ),
}
_BLOCKS: Mapping[str, Mapping[str, Check]] = {
    "message": {
        **_EVERYWHERE,
        "markdown": _block({"text": _string(12_000)}),
        "table": _block({"rows": _listed(_anything, 100)}, {"column_settings": _anything}),
    },
    "modal": _EVERYWHERE,
    "home": _EVERYWHERE,
}

_OF_EVERY_VIEW: Mapping[str, Check] = {
    "private_metadata": _string(3000, 0),
    "callback_id": _string(255, 0),
    "external_id": _string(255, 0),
}
_VIEWS: Mapping[str, Check] = {
    "modal": _record(
        {"type": _anything, "title": _text(24, plain=True), "blocks": _listed(_anything, 10**6, 0)},
        {
            **_OF_EVERY_VIEW,
            "submit": _text(24, plain=True),
            "close": _text(24, plain=True),
            "clear_on_close": _boolean,
            "notify_on_close": _boolean,
            "submit_disabled": _boolean,
        },
    ),
    "home": _record({"type": _anything, "blocks": _listed(_anything, 10**6, 0)}, _OF_EVERY_VIEW),
}
