"""Pages that end early: an answer cut after some items, and the rest of it when it is asked for.

"The number of items returned may be less than the value you specified, even if there are more"
(EC2 API Reference, "Pagination"): a caller that doesn't follow the token misses what is there.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlencode
from xml.etree import ElementTree

_TOKEN = "clampdown-page-"


@dataclass(frozen=True)
class _Pages:
    """How an operation pages, by botocore's model: the names of its tokens and of its items."""

    given: str
    given_names: frozenset[str]
    returned: str
    items: tuple[str, ...]
    more: str


@dataclass(frozen=True)
class Resumed:
    """A request as moto is to have it: ``skip`` items were given out before."""

    environ: dict[str, Any]
    body: bytes
    skip: int
    token: str = ""


def resumed(service: str, operation: str, environ: dict[str, Any], body: bytes) -> Resumed:
    """The request without our token, where it carries one."""
    if _TOKEN.encode() not in body and _TOKEN not in environ.get("QUERY_STRING", ""):
        return Resumed(environ, body, 0)
    pages = _pages(service, operation)
    if pages is None:
        return Resumed(environ, body, 0)
    query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    if found := _take(query, pages):
        environ = {**environ, "QUERY_STRING": urlencode(query)}
        return Resumed(environ, body, *found)
    document, as_json = _document(environ, body)
    if found := _take(document, pages):
        body = json.dumps(document).encode() if as_json else urlencode(document).encode()
        return Resumed({**environ, "CONTENT_LENGTH": str(len(body))}, body, *found)
    return Resumed(environ, body, 0)


def shortened(
    service: str, operation: str, answer: bytes, *, skip: int, keep: int | None, token: str = ""
) -> bytes:
    """The answer with ``keep`` of its items (None: all) after the first ``skip``.

    ``token`` is the one that the whole page was asked for with. Answers without pages, and those of
    operations whose tokens are made of several parts, stay as they are.
    """
    pages = _pages(service, operation)
    if pages is None or (not skip and keep is None):
        return answer
    if answer[:1] == b"<":
        return _in_xml(service, operation, answer, pages, skip, keep, token)
    try:
        document = json.loads(answer)
    except ValueError:
        return answer
    key = pages.items[0]
    items = document.get(key) if isinstance(document, dict) else None
    if not isinstance(items, list):
        return answer
    end = len(items) if keep is None else skip + keep
    document[key] = items[skip:end]
    if end < len(items):
        document[pages.returned] = _ours(end, token)
        if pages.more:
            document[pages.more] = True
    return json.dumps(document).encode()


def _in_xml(
    service: str,
    operation: str,
    answer: bytes,
    pages: _Pages,
    skip: int,
    keep: int | None,
    token: str,
) -> bytes:
    shape = _model(service).operation_model(operation).output_shape
    root = ElementTree.fromstring(answer)
    space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
    wrapper = shape.serialization.get("resultWrapper")
    wrapped = root.find(f"{space}{wrapper}") if wrapper else None
    # S3's wrapper is the root itself.
    parent = root if wrapped is None else wrapped
    member = shape.members[pages.items[0]]
    name = space + member.serialization.get("name", pages.items[0])
    if member.serialization.get("flattened"):
        holder, items = parent, parent.findall(name)
    else:
        found = parent.find(name)
        if found is None:
            return answer
        holder, items = found, list(found)
    end = len(items) if keep is None else skip + keep
    for item in [*items[:skip], *items[end:]]:
        holder.remove(item)
    if end < len(items):
        _put(parent, shape, space, pages.returned, _ours(end, token))
        if pages.more:
            _put(parent, shape, space, pages.more, "true")
    if space:
        ElementTree.register_namespace("", space.strip("{}"))
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _put(parent: ElementTree.Element, shape: Any, space: str, member: str, text: str) -> None:
    name = space + shape.members[member].serialization.get("name", member)
    element = parent.find(name)
    if element is None:
        element = ElementTree.SubElement(parent, name)
    element.text = text


def _ours(after: int, token: str) -> str:
    state = json.dumps({"after": after, "token": token}).encode()
    return _TOKEN + base64.urlsafe_b64encode(state).decode().rstrip("=")


def _take(values: dict[str, Any], pages: _Pages) -> tuple[int, str] | None:
    """How many items were given out, and the token of the whole page; ours is taken out."""
    for name in pages.given_names & values.keys():
        text = str(values[name])
        if not text.startswith(_TOKEN):
            continue
        packed = text.removeprefix(_TOKEN)
        state = json.loads(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
        if state["token"]:
            values[name] = state["token"]
        else:
            del values[name]
        return int(state["after"]), str(state["token"])
    return None


def token_of(service: str, operation: str, parameters: Mapping[str, Any]) -> str:
    """The token that a page was asked for with; empty for the first."""
    pages = _pages(service, operation)
    if pages is None:
        return ""
    return next((str(parameters[name]) for name in pages.given_names & parameters.keys()), "")


def _document(environ: Mapping[str, Any], body: bytes) -> tuple[dict[str, Any], bool]:
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(body.decode(), keep_blank_values=True)), False
    try:
        document = json.loads(body)
    except ValueError:
        return {}, True
    return (document if isinstance(document, dict) else {}), True


@cache
def _pages(service: str, operation: str) -> _Pages | None:
    from botocore.exceptions import DataNotFoundError
    from botocore.model import OperationNotFoundError
    from botocore.session import get_session

    try:
        model = (
            get_session().get_component("data_loader").load_service_model(service, "paginators-1")
        )
        shapes = _model(service).operation_model(operation)
    except (DataNotFoundError, OperationNotFoundError):
        return None
    paging = model["pagination"].get(operation)
    if paging is None:
        return None
    keys = paging["result_key"]
    keys = tuple(keys) if isinstance(keys, list) else (keys,)
    given, returned = paging["input_token"], paging["output_token"]
    plain = all(isinstance(name, str) and name.isidentifier() for name in (given, returned))
    if not plain or not keys[0].isidentifier():
        return None
    wire = shapes.input_shape.members[given].serialization.get("name", given)
    names = frozenset({given, wire, wire[0].upper() + wire[1:]})
    # Of JSON, a member's name is the one on the wire too, but for those that have another there.
    back = shapes.output_shape.members
    if shapes.service_model.protocol in ("rest-json", "json"):
        returned = back[returned].serialization.get("name", returned)
        keys = tuple(back[key].serialization.get("name", key) for key in keys)
    return _Pages(given, names, returned, keys, paging.get("more_results", ""))


@cache
def _model(service: str) -> Any:
    from moto.core.utils import get_service_model

    return get_service_model(service)
