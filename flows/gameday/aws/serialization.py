"""What moto does to write an answer, done once for each kind of answer and not in every one.

For each member of each item, moto puts together the names that an attribute may have, and tries
all of its transformations on the member's path; both follow from the API's model and the item's
class. Its XML it writes through a general library. Together that is half of the time of a call.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import SimpleNamespace
from typing import Any
from xml.sax.saxutils import escape, quoteattr

_PROLOGUE = '<?xml version="1.0" encoding="utf-8"?>\n'


def write_sooner() -> None:
    """Have moto write the same answers in less time."""
    import moto.core.serialize
    from moto.core.serialize import (
        AttributePickerContext,
        ResponseSerializer,
        XFormedAttributePicker,
    )
    from moto.core.utils import MISSING, get_value

    of_any_picker = ResponseSerializer.get_value

    def names_of(picker: Any, item: Any, key: str, shape: Any) -> tuple[str, ...]:
        # A shape object belongs to one member of one structure: what is known of it is kept there.
        known = shape.__dict__.setdefault("names_by_class", {})
        kind = type(item), key, id(getattr(shape, "parent", None))
        if kind not in known:
            context = AttributePickerContext(obj=item, key=key, shape=shape)
            known[kind] = tuple(dict.fromkeys(picker.get_possible_keys(context)))
        names: tuple[str, ...] = known[kind]
        return names

    def value_of(self: Any, item: Any, key: str, shape: Any) -> Any:
        picker = self._value_picker
        if type(picker) is not XFormedAttributePicker:
            return of_any_picker(self, item, key, shape)
        value = None
        for name in names_of(picker, item, key, shape):
            found = get_value(item, name, MISSING)
            if found is not MISSING:
                value = found
                break
        transformers = picker.response_transformers
        if transformers:
            ending = _ending(".".join((*self.path, key)), tuple(transformers))
            if ending is not None:
                return transformers[ending](value)
        return value

    ResponseSerializer.get_value = value_of
    moto.core.serialize.xmltodict = SimpleNamespace(unparse=xml)


@cache
def _ending(path: str, endings: tuple[str, ...]) -> str | None:
    """The first of the endings that the path has."""
    return next((ending for ending in endings if path.endswith(ending)), None)


def xml(
    document: Mapping[str, Any],
    *,
    full_document: bool,
    short_empty_elements: bool,
    pretty: bool = False,
) -> str:
    """The document as xmltodict writes it: ``@name`` is an attribute, ``#text`` the text, a list
    an element for each item. An empty list is no element."""
    if pretty:
        import xmltodict

        return str(
            xmltodict.unparse(
                document,
                full_document=full_document,
                short_empty_elements=short_empty_elements,
                pretty=True,
            )
        )
    parts = [_PROLOGUE] if full_document else []
    for name, value in document.items():
        _element(name, value, parts, short_empty_elements)
    return "".join(parts)


def _element(name: str, value: Any, parts: list[str], short: bool) -> None:
    for item in value if isinstance(value, list | tuple) else (value,):
        if not isinstance(item, Mapping):
            text = _text(item)
            if text or not short:
                parts.append(f"<{name}>{escape(text)}</{name}>")
            else:
                parts.append(f"<{name}/>")
            continue
        parts.append(f"<{name}")
        inside: list[str] = []
        text = ""
        for key, child in item.items():
            if key.startswith("@"):
                parts.append(f" {key[1:]}={quoteattr(_text(child))}")
            elif key == "#text":
                text = escape(_text(child))
            elif not (isinstance(child, list) and not child):
                _element(key, child, inside, short)
        if inside or text or not short:
            parts += (">", *inside, text, f"</{name}>")
        else:
            parts.append("/>")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
