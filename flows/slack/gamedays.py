"""Game days from Slack: which there are, running one, and how it went. All of it says DRILL.

A drill that is run from here is played in a simulated AWS of its own with stand-ins for people, on
the machine of this process; nothing of the live side is touched.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from slack_sdk.web.async_client import AsyncWebClient

from flows.gameday.archive import all_pasts, assessed, drill_in, find_drill, play
from flows.gameday.assessment import Assessment
from flows.gameday.report import html
from flows.gameday.run import drawn, require_playable, run_drill
from flows.gameday.scenario import Scenario
from flows.gameday.scenario_file import load_scenario, shipped
from flows.gameday.schedule import DrillTimes, schedule, scheduled, unschedule
from flows.settings import Settings
from flows.slack.commands import GameDay
from flows.slack.failures import FAILURES, reason
from flows.slack.posting import web_client
from flows.slack.settings import load_slack_settings, places_of
from flows.slack.text import code, safe, span
from runbooks.errors import ClampdownError, InvalidInput, Refused
from runbooks.loader import load
from runbooks.registry import STEPS

_MOST_LINES = 15
_LOG = logging.getLogger(__name__)


class GameDays:
    """Plays scenarios for people in Slack, one at a time."""

    def __init__(self, client: AsyncWebClient, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._playing = ""

    async def listed(self) -> str:
        """The scenarios, a line each, with how they went last."""
        known = await asyncio.to_thread(all_pasts, self._settings)
        last = {past.scenario: past for past in known}
        lines = []
        for name in shipped():
            went = last.get(name)
            how = f"{went.at:%Y-%m-%d}: {went.score:.0f} of 100" if went else "never drilled"
            lines.append(f"{code(name, 60)} {safe(load_scenario(name).title, 120)} ({how})")
        return "\n".join(lines)

    async def run(self, name: str, channel: str, asker: str) -> None:
        """Play a scenario; that it begins, and how it went, is posted in the channel.

        Raises InvalidInput where there is no such scenario, Refused while another one is played.
        """
        if self._playing:
            raise Refused(f"{self._playing} is being played already. Nothing was started.")
        self._playing = name
        try:
            await announced(self._client, channel, name, drawn(None), self._settings, asker)
        finally:
            self._playing = ""

    async def schedule(self, wanted: GameDay) -> str:
        """Have Prefect start a scenario again and again, or no more; what is scheduled then.

        Raises InvalidInput, and ClampdownError where no Prefect server answers.
        """
        if wanted.name:
            load_scenario(wanted.name)
            if wanted.does == "unschedule":
                await asyncio.to_thread(unschedule, wanted.name, self._settings)
            else:
                times = DrillTimes(wanted.cron, wanted.timezone)
                await asyncio.to_thread(schedule, wanted.name, times, self._settings)
        rows = await asyncio.to_thread(scheduled, self._settings)
        lines = [
            f"{code(row.scenario, 60)} {code(row.times.cron, 60)} {safe(row.times.timezone, 60)}"
            for row in rows
        ]
        return "\n".join(lines) or "No game day is scheduled."

    async def report(self, channel: str, drill: str = "") -> None:
        """Post how a drill went, with the whole report as a file. Raises InvalidInput."""
        found = await asyncio.to_thread(find_drill, drill or None, self._settings)
        went = await asyncio.to_thread(assessed, found, self._settings)
        await _report(self._client, channel, went)


async def announced(
    client: AsyncWebClient,
    channel: str,
    name: str,
    seed: int,
    settings: Settings,
    asker: str = "The schedule",
) -> Assessment:
    """Play a scenario, and have the channel told that it begins and how it went.

    A Slack that takes no message keeps no drill from being played. Raises what :func:`play` raises.
    """
    scenario = load_scenario(name)
    require_playable(scenario, settings.playbooks)
    text = (
        f":mega: *DRILL* {asker} plays {code(name, 60)}: {safe(scenario.title, 120)}. In a simulated "
        "AWS, with stand-ins: nobody has to do anything, and nothing real is touched."
    )
    try:
        await client.chat_postMessage(channel=channel, text=text, unfurl_links=False)
    except FAILURES as error:
        _LOG.warning("Slack was not told of the drill %s: %s", name, reason(error))
    went = await asyncio.to_thread(play, name, seed, settings)
    try:
        await _report(client, channel, went)
    except FAILURES as error:
        _LOG.warning("Slack was not told how %s went: %s", went.drill, reason(error))
    return went


def play_in_slack(
    name: str,
    scenario: Scenario,
    seed: int,
    settings: Settings,
    told: Callable[[str], None] = lambda text: None,
) -> Assessment:
    """Have the people on call play a scenario in Slack, in real time; AWS is simulated all the same.

    Raises InvalidInput where there is no place in Slack, or the scenario needs stand-ins, and what
    the Slack app and the drill raise.
    """
    places = places_of(load(settings.playbooks, STEPS))
    if any(event.person for event in scenario.timeline):
        raise InvalidInput(
            f"In {name} somebody of its own acts out of turn: only stand-ins can play it."
        )
    require_playable(scenario, settings.playbooks)
    slack = load_slack_settings(http=False)
    text = (
        f":mega: *DRILL* {code(name, 60)}: {safe(scenario.title, 120)}. Everybody on call plays, as if "
        f"it were real, for up to {span(scenario.lasts)}. AWS is simulated: nothing real is touched."
    )

    async def played() -> Assessment:
        client = web_client(slack.api_url, slack.bot_token.get_secret_value())
        await client.chat_postMessage(channel=places.channel, text=text, unfurl_links=False)
        home = await asyncio.to_thread(
            run_drill,
            scenario,
            name=name,
            playbooks=settings.playbooks,
            home=settings.home,
            seed=seed,
            people="slack",
            told=told,
        )
        went = await asyncio.to_thread(lambda: assessed(drill_in(home), settings))
        await _report(client, places.channel, went)
        return went

    try:
        return asyncio.run(played())
    except FAILURES as error:
        raise ClampdownError(f"Slack takes no message: {reason(error)}.") from error


async def _report(client: AsyncWebClient, channel: str, went: Assessment) -> None:
    page = await asyncio.to_thread(html, went)
    await client.files_upload_v2(
        channel=channel,
        content=page,
        filename=f"{went.drill}.html",
        title=f"DRILL report: {went.title}",
        initial_comment=_told(went),
    )


def _told(went: Assessment) -> str:
    mark = ":white_check_mark:" if went.passed else ":x:"
    head = (
        f"{mark} *DRILL* {code(went.scenario, 60)} "
        f"{'passed' if went.passed else 'fell short'}: {went.score:.0f} of 100."
    )
    missed = [verdict for verdict in went.verdicts if verdict.level in ("missed", "partly")]
    lines = [f"• {safe(verdict.title, 120)}: {safe(verdict.reason, 200)}" for verdict in missed]
    if went.people_share is not None:
        lines.append(
            f"{went.people_share:.0%} of the time until containment was waiting for people."
        )
    lines.extend(f"→ {safe(lesson.text, 200)}" for lesson in went.lessons[:3])
    lines.append(f"Seed {went.seed}, {span(went.lasted)} of simulated time.")
    return "\n".join(_some([head, *lines]))


def _some(lines: Sequence[str]) -> Sequence[str]:
    return [*lines[:_MOST_LINES], "…"] if len(lines) > _MOST_LINES else lines
