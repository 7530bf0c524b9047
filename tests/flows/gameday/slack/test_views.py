"""Modals and the Home tab: triggers, stacks, hashes, submissions and what the app answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from flows.gameday.slack.app import App
from flows.gameday.slack.forms import NotPossible
from flows.gameday.slack.people import Person
from flows.gameday.slack.records import Channel
from flows.gameday.slack.server import SimulatedSlack
from flows.gameday.slack.views import View
from tests.flows.gameday.slack.apps import SocketApp, actions, button, modal, section, text_input
from tests.flows.gameday.slack.conftest import refused

WHY = text_input("why", "Why?")


@pytest.fixture
def app(slack: SimulatedSlack) -> Iterator[SocketApp]:
    with SocketApp(slack) as connected:
        yield connected


def trigger(app: SocketApp, person: Person) -> str:
    """A trigger that somebody gives the app by a command."""
    assert person.command("/clampdown").ok
    return str(app.told[-1]["payload"]["trigger_id"])


@pytest.fixture
def shown(app: SocketApp, web: WebClient, maria: Person) -> View:
    """A modal that is open before Maria."""
    web.views_open(trigger_id=trigger(app, maria), view=modal(WHY, callback_id="contain"))
    assert maria.modal is not None
    return maria.modal


# Triggers


def test_a_trigger_opens_a_modal_for_who_gave_it(
    app: SocketApp, web: WebClient, maria: Person, tom: Person
) -> None:
    view = web.views_open(trigger_id=trigger(app, maria), view=modal(WHY))["view"]
    assert maria.modal is not None
    assert maria.modal.id == view["id"] == view["root_view_id"]
    assert tom.modal is None
    assert view["state"]["values"] == {
        "why": {"why_value": {"type": "plain_text_input", "value": None}}
    }


def test_a_trigger_serves_once(app: SocketApp, web: WebClient, maria: Person) -> None:
    once = trigger(app, maria)
    web.views_open(trigger_id=once, view=modal())
    again = {"trigger_id": once, "view": modal()}
    assert refused(web.views_open, **again) == "exchanged_trigger_id"
    assert refused(web.views_push, **again) == "exchanged_trigger_id"
    assert refused(web.views_open, trigger_id="1.2.3", view=modal()) == "invalid_trigger_id"


def test_a_trigger_lives_for_three_seconds() -> None:
    now = [1_700_000_000.0]
    with SimulatedSlack(clock=lambda: now[0], unlimited=True) as slack:
        web = WebClient(slack.installation.bot_token, base_url=slack.api_url)
        with SocketApp(slack) as app:
            maria = slack.person("maria")
            early, late = trigger(app, maria), trigger(app, maria)
            now[0] += 3.0
            assert web.views_open(trigger_id=early, view=modal())["ok"]
            now[0] += 0.1
            call = {"trigger_id": late, "view": modal()}
            assert refused(web.views_open, **call) == "expired_trigger_id"


def test_a_modal_that_slack_does_not_take_leaves_the_trigger(
    app: SocketApp, web: WebClient, maria: Person
) -> None:
    once = trigger(app, maria)
    with pytest.raises(SlackApiError) as error:
        web.views_open(trigger_id=once, view=modal(WHY, submit=""))
    assert error.value.response["error"] == "invalid_arguments"
    assert error.value.response["response_metadata"]["messages"] == [
        "[ERROR] must define `submit` to use an `input` block in modals "
        "[json-pointer:/view/blocks/0/input]"
    ]
    large = modal(*[section("x" * 2900) for _ in range(90)])
    assert refused(web.views_open, trigger_id=once, view=large) == "view_too_large"
    assert web.views_open(trigger_id=once, view=modal())["ok"]


# Stacks and hashes


def test_modals_are_stacked_three_high(
    app: SocketApp, web: WebClient, maria: Person, shown: View
) -> None:
    for _ in range(2):
        web.views_push(trigger_id=trigger(app, maria), view=modal())
    assert maria.modal is not None
    assert (maria.modal.root, maria.modal.previous) != (maria.modal.id, None)
    call = {"trigger_id": trigger(app, maria), "view": modal()}
    assert refused(web.views_push, **call) == "push_limit_reached"
    maria.close(maria.modal)
    maria.close(maria.modal)
    assert maria.modal.id == shown.id
    maria.close(shown, all_of_them=True)
    assert maria.modal is None


def test_nothing_is_pushed_onto_nothing(app: SocketApp, web: WebClient, maria: Person) -> None:
    call = {"trigger_id": trigger(app, maria), "view": modal()}
    assert refused(web.views_push, **call) == "not_found"


def test_an_update_with_an_old_hash_is_refused(
    app: SocketApp, web: WebClient, maria: Person, shown: View
) -> None:
    web.views_update(view_id=shown.id, hash=shown.hash, view=modal(section("two")))
    assert maria.modal is not None
    assert maria.modal.hash != shown.hash
    late = {"view_id": shown.id, "hash": shown.hash, "view": modal(section("three"))}
    assert refused(web.views_update, **late) == "hash_conflict"
    assert maria.modal.blocks[0]["text"]["text"] == "two"
    # Without a hash the last one wins.
    web.views_update(view_id=shown.id, view=modal(section("four")))
    assert maria.modal.blocks[0]["text"]["text"] == "four"


def test_a_closed_modal_is_not_found(web: WebClient, maria: Person, shown: View) -> None:
    maria.close(shown)
    assert refused(web.views_update, view_id=shown.id, view=modal()) == "not_found"
    without_id = {"api_method": "views.update", "json": {"view": modal()}}
    assert refused(web.api_call, **without_id) == "invalid_arguments"


def test_an_external_id_is_used_once(app: SocketApp, web: WebClient, maria: Person) -> None:
    web.views_open(trigger_id=trigger(app, maria), view=modal(external_id="inc-1"))
    web.views_update(external_id="inc-1", view=modal(section("two"), external_id="inc-1"))
    call = {"trigger_id": trigger(app, maria), "view": modal(external_id="inc-1")}
    assert refused(web.views_push, **call) == "duplicate_external_id"


# Submissions


def test_a_submission_tells_the_app_what_was_entered(
    app: SocketApp, maria: Person, shown: View
) -> None:
    ack = maria.submit(shown, {"why_value": "because"})
    assert ack.ok
    told = app.told[-1]["payload"]
    assert (app.told[-1]["type"], told["type"]) == ("interactive", "view_submission")
    assert told["view"]["callback_id"] == "contain"
    assert told["view"]["state"]["values"]["why"]["why_value"]["value"] == "because"
    assert maria.modal is None


def answered(app: SocketApp, answer: Any) -> None:
    app.answer = lambda envelope: answer


def test_the_app_can_refuse_what_was_entered(app: SocketApp, maria: Person, shown: View) -> None:
    answered(app, {"response_action": "errors", "errors": {"why": "Say more."}})
    assert maria.submit(shown, {"why": "x"}).ok
    assert maria.modal is not None
    assert maria.modal.errors == {"why": "Say more."}
    answered(app, None)
    assert maria.submit(maria.modal, {"why": "more"}).ok
    assert maria.modal is None


def test_the_app_can_go_on_to_other_modals(app: SocketApp, maria: Person, shown: View) -> None:
    answered(app, {"response_action": "push", "view": modal(section("two"))})
    maria.submit(shown, {"why": "x"})
    assert maria.modal is not None
    assert (maria.modal.previous, maria.modal.root) == (shown.id, shown.id)
    second = maria.modal
    answered(app, {"response_action": "update", "view": modal(section("three"))})
    maria.submit(second)
    assert (maria.modal.id, maria.modal.blocks[0]["text"]["text"]) == (second.id, "three")
    answered(app, {"response_action": "clear"})
    maria.submit(second)
    assert maria.modal is None


@pytest.mark.parametrize(
    "answer",
    [
        {"response_action": "explode"},
        {"response_action": "errors", "errors": {"no_such_block": "x"}},
        {"response_action": "errors"},
        "fine",
    ],
)
def test_an_answer_that_slack_does_not_understand_leaves_the_modal(
    app: SocketApp, maria: Person, shown: View, answer: Any
) -> None:
    answered(app, answer)
    assert maria.submit(shown, {"why": "x"}).error == "invalid_response"
    assert maria.modal is not None


def test_an_answer_with_an_invalid_modal_is_an_error(
    app: SocketApp, maria: Person, shown: View
) -> None:
    answered(app, {"response_action": "update", "view": {"type": "modal"}})
    assert maria.submit(shown, {"why": "x"}).error == "invalid_arguments"


def test_slack_itself_lets_nobody_submit_what_is_not_filled_in(
    app: SocketApp, web: WebClient, maria: Person, shown: View
) -> None:
    told = len(app.told)
    with pytest.raises(NotPossible, match="must be filled in"):
        maria.submit(shown)
    with pytest.raises(NotPossible, match="no field"):
        maria.submit(shown, {"how": "x"})
    limited = modal(text_input("why", "Why?", min_length=3, max_length=5), submit="Send")
    web.views_update(view_id=shown.id, view=limited)
    assert maria.modal is not None
    for wrong in ("xx", "xxxxxx"):
        with pytest.raises(NotPossible, match="3 to 5 characters"):
            maria.submit(maria.modal, {"why": wrong})
    web.views_update(view_id=shown.id, view=modal(section("read this"), submit=""))
    with pytest.raises(NotPossible, match="can only be closed"):
        maria.submit(maria.modal)
    assert len(app.told) == told


def test_the_app_hears_of_closing_where_it_asked_for_it(
    app: SocketApp, web: WebClient, maria: Person, shown: View
) -> None:
    assert maria.close(shown) is None
    told = modal(notify_on_close=True, callback_id="deny")
    web.views_open(trigger_id=trigger(app, maria), view=told)
    assert maria.modal is not None
    ack = maria.close(maria.modal)
    assert ack is not None
    assert ack.ok
    payload = app.told[-1]["payload"]
    assert (payload["type"], payload["is_cleared"]) == ("view_closed", False)
    assert payload["view"]["callback_id"] == "deny"


# Elements


def test_every_kind_of_element_reports_its_value(
    app: SocketApp, web: WebClient, maria: Person, tom: Person
) -> None:
    options = [
        {"text": {"type": "plain_text", "text": name.title()}, "value": name}
        for name in ("ec2", "iam")
    ]

    def field(block_id: str, kind: str, **more: Any) -> dict[str, Any]:
        block = text_input(block_id, block_id)
        return {**block, "element": {"type": kind, "action_id": block_id, **more}}

    view = modal(
        field("playbook", "static_select", options=options),
        field("how", "radio_buttons", options=options, initial_option=options[1]),
        field("flags", "checkboxes", options=options),
        field("who", "users_select"),
        field("day", "datepicker", initial_date="2026-01-31"),
        {**field("note", "plain_text_input"), "optional": True},
    )
    web.views_open(trigger_id=trigger(app, maria), view=view)
    assert maria.modal is not None
    given = {"playbook": "Ec2", "flags": ["ec2", "iam"], "who": tom.id}
    assert maria.submit(maria.modal, given).ok
    values = {
        action_id: state
        for block in app.told[-1]["payload"]["view"]["state"]["values"].values()
        for action_id, state in block.items()
    }
    assert values["playbook"]["selected_option"]["value"] == "ec2"
    assert values["how"]["selected_option"]["value"] == "iam"
    assert [o["value"] for o in values["flags"]["selected_options"]] == ["ec2", "iam"]
    assert values["who"] == {"type": "users_select", "selected_user": tom.id}
    assert values["day"]["selected_date"] == "2026-01-31"
    assert values["note"]["value"] is None
    web.views_open(trigger_id=trigger(app, maria), view=view)
    with pytest.raises(NotPossible, match="no option 'ebs'"):
        maria.submit(maria.modal, {**given, "playbook": "ebs"})


def test_a_button_in_a_modal_is_told_with_the_modal(
    app: SocketApp, web: WebClient, maria: Person
) -> None:
    view = modal(WHY, actions(button("more", value="inc-1")))
    web.views_open(trigger_id=trigger(app, maria), view=view)
    assert maria.modal is not None
    assert maria.use(maria.modal, "more", values={"why": "so far"}).ok
    payload = app.told[-1]["payload"]
    assert payload["container"] == {"type": "view", "view_id": maria.modal.id}
    assert payload["actions"][0]["value"] == "inc-1"
    assert payload["view"]["state"]["values"]["why"]["why_value"]["value"] == "so far"
    assert "message" not in payload
    assert "response_url" not in payload
    with pytest.raises(NotPossible, match="no element 'less'"):
        maria.use(maria.modal, "less")


# Home


def test_the_home_tab_is_published_for_one_person(
    app: SocketApp, web: WebClient, maria: Person, tom: Person
) -> None:
    home = {"type": "home", "blocks": [section("one"), actions(button("decide"))]}
    view = web.views_publish(user_id=maria.id, view=home)["view"]
    assert tom.home is None
    assert maria.home is not None
    assert maria.home.id == view["id"]
    web.views_publish(user_id=maria.id, view=home, hash=view["hash"])
    late = {"user_id": maria.id, "view": home, "hash": view["hash"]}
    assert refused(web.views_publish, **late) == "hash_conflict"
    assert maria.use(maria.home, "decide").ok
    assert app.told[-1]["payload"]["view"]["type"] == "home"
    web.views_update(view_id=view["id"], view={"type": "home", "blocks": [section("two")]})
    assert maria.home.blocks[0]["text"]["text"] == "two"


def test_a_home_tab_is_for_somebody_and_must_be_set_up(web: WebClient, maria: Person) -> None:
    home = {"type": "home", "blocks": []}
    with pytest.raises(SlackApiError) as error:
        web.views_publish(user_id="U0NOSUCH", view=home)
    assert error.value.response["response_metadata"]["messages"] == ["[ERROR] invalid `user_id`"]
    with SimulatedSlack(App(home_tab=False), unlimited=True) as slack:
        other = WebClient(slack.installation.bot_token, base_url=slack.api_url)
        tom = slack.person("tom")
        assert refused(other.views_publish, user_id=tom.id, view=home) == "not_enabled"
        with pytest.raises(NotPossible, match="no Home tab"):
            tom.open_home()


def test_opening_the_home_tab_is_an_event(
    app: SocketApp, web: WebClient, maria: Person, channel: Channel
) -> None:
    assert maria.open_home().ok
    event = app.told[-1]["payload"]["event"]
    assert (event["type"], event["tab"], event["user"]) == ("app_home_opened", "home", maria.id)
    assert event["channel"].startswith("D")
    assert "view" not in event
    web.views_publish(user_id=maria.id, view={"type": "home", "blocks": [section("one")]})
    maria.open_home()
    assert app.told[-1]["payload"]["event"]["view"]["blocks"][0]["text"]["text"] == "one"
