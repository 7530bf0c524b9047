"""Answers in XML are, byte for byte, what moto's own library makes of them."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest
import xmltodict
from hypothesis import given
from hypothesis import strategies as st

from flows.gameday.aws.serialization import xml


class State(str, Enum):  # noqa: UP042 - of which moto has many
    RUNNING = "running"


_NAMES = st.text("abcXYZ", min_size=1, max_size=3)
_TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF), max_size=8)
_LEAVES = _TEXTS | st.none() | st.booleans() | st.integers() | st.just(State.RUNNING)
_TREES = st.recursive(
    _LEAVES,
    lambda inner: (
        st.dictionaries(_NAMES, inner | st.lists(inner, max_size=3), max_size=4)
        | st.fixed_dictionaries({"@xmlns": _TEXTS, "#text": _TEXTS})
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("short", [True, False])
@pytest.mark.parametrize("whole", [True, False])
@given(tree=st.dictionaries(_NAMES, _TREES, max_size=4))
def test_a_document_is_written_as_by_xmltodict(
    tree: dict[str, Any], whole: bool, short: bool
) -> None:
    document = {"Answer": tree}
    how = {"full_document": whole, "short_empty_elements": short}

    assert xml(document, **how) == xmltodict.unparse(document, **how)
