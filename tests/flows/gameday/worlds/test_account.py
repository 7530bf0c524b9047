"""World files of the second form: strict to read, and the same when they are written and read."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.gameday.worlds import AccountWorld, load_world, parse_account, read_world
from runbooks.errors import InvalidInput

BANK = Path(__file__).parent / "bank.yaml"
SMALL = """\
version: 1
region: eu-west-1
vpcs:
  main: {cidr: 10.0.0.0/16}
subnets:
  a: {vpc: main, cidr: 10.0.0.0/24, zone: eu-west-1a}
"""


def test_a_world_file_is_the_same_after_it_was_written_and_read() -> None:
    world = parse_account(BANK.read_bytes())

    assert parse_account(world.to_yaml().encode()) == world


_TEXTS = st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), max_size=20)


@given(st.dictionaries(_TEXTS.filter(bool), _TEXTS, max_size=4))
def test_tags_of_any_text_survive_the_file(tags: dict[str, str]) -> None:
    world = AccountWorld.model_validate(
        {"region": "eu-west-1", "vpcs": {"main": {"cidr": "10.0.0.0/16", "tags": tags}}}
    )

    assert parse_account(world.to_yaml().encode()) == world


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        ("vpc: main", "vpc: other", "'other', which is not in vpcs"),
        ("region: eu-west-1", "region: 7", ":2: region"),
        ("zone: eu-west-1a", "zone: eu-west-1a, colour: red", ":6: subnets.a.colour"),
        ("version: 1", "version: 2", ":1: version"),
        ("zone: eu-west-1a}", "zone: eu-west-1a, zone: b}", ":6:"),
        ("{cidr: 10.0.0.0/16}", "&it {cidr: 10.0.0.0/16}", ":4:"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(wrong: str, right: str, said: str) -> None:
    assert wrong in SMALL

    with pytest.raises(InvalidInput) as refused:
        parse_account(SMALL.replace(wrong, right).encode(), "twin.yaml")

    assert str(refused.value).startswith("twin.yaml:")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("network_acls: {x: {vpc: main, subnets: [b]}}", "b"),
        ("route_tables: {x: {vpc: main, routes: [{to: 0.0.0.0/0, through: 'nat:n'}]}}", "n"),
        ("nat_gateways: {x: {subnet: nowhere}}", "nowhere"),
        ("profiles: {x: {role: nobody}}", "nobody"),
        ("launch_templates: {x: {image: none}}", "none"),
        ("endpoints: {x: {vpc: main, service: s3, kind: Gateway, route_tables: [r]}}", "r"),
        (
            "security_groups: {x: {vpc: main, name: x, description: x, rules: "
            "[{egress: true, protocol: tcp, peer: 'group:y'}]}}",
            "y",
        ),
        (
            "target_groups: {x: {vpc: main, protocol: TCP, port: 1, kind: instance, "
            "targets: [{id: web, port: 1}]}}",
            "web",
        ),
    ],
)
def test_a_name_that_is_nowhere_is_refused(part: str, name: str) -> None:
    with pytest.raises(InvalidInput, match=f"'{name}', which is not in"):
        parse_account(f"{SMALL}{part}\n".encode())


def test_a_file_is_read_by_its_form(tmp_path: Path) -> None:
    short = tmp_path / "short.yaml"
    short.write_bytes((files("flows.gameday.worlds") / "small.yaml").read_bytes())

    assert isinstance(read_world(BANK), AccountWorld)
    assert read_world(short) == load_world("small")


def test_a_short_file_with_an_unknown_key_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "short.yaml"
    file.write_text("region: eu-west-1\ncolour: red\n")

    with pytest.raises(InvalidInput, match=r"short\.yaml:"):
        read_world(file)
