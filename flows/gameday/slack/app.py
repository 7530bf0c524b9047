"""The app as it is set up at Slack: what its manifest says, and the secrets that Slack gave it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flows.gameday.slack.ids import Ids


@dataclass(frozen=True)
class App:
    """What the app may do and what it is told.

    ``commands``, ``shortcuts`` (by callback id) and ``scopes`` hold what was configured; None
    allows everything. ``events`` are the subscriptions by their names in the manifest
    (``app_home_opened``, ``message.channels``, ``app_mention``).
    """

    name: str = "Clampdown"
    commands: tuple[str, ...] | None = None
    shortcuts: tuple[str, ...] | None = None
    scopes: tuple[str, ...] | None = None
    events: tuple[str, ...] = ("app_home_opened",)
    interactivity: bool = True
    home_tab: bool = True
    socket_mode: bool = True

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> App:
        """The app that Slack makes of a manifest (docs.slack.dev, "App manifest reference").

        Raises KeyError where a part that Slack requires is missing.
        """
        features = manifest.get("features", {})
        settings = manifest.get("settings", {})
        return cls(
            name=manifest["display_information"]["name"],
            commands=tuple(item["command"] for item in features.get("slash_commands", ())),
            shortcuts=tuple(item["callback_id"] for item in features.get("shortcuts", ())),
            scopes=tuple(manifest.get("oauth_config", {}).get("scopes", {}).get("bot", ())),
            events=tuple(settings.get("event_subscriptions", {}).get("bot_events", ())),
            interactivity=settings.get("interactivity", {}).get("is_enabled", False),
            home_tab=features.get("app_home", {}).get("home_tab_enabled", False),
            socket_mode=settings.get("socket_mode_enabled", False),
        )

    def has_scope(self, *any_of: str) -> bool:
        return self.scopes is None or bool(set(any_of) & set(self.scopes))


@dataclass(frozen=True)
class Installation:
    """The app in one workspace: its ids, and the secrets with which both sides know each other."""

    app_id: str
    bot_id: str
    bot_user: str
    bot_token: str
    app_token: str
    signing_secret: str
    verification_token: str

    @classmethod
    def new(cls, ids: Ids) -> Installation:
        app_id = ids.new("A")
        return cls(
            app_id=app_id,
            bot_id=ids.new("B"),
            bot_user=ids.new("U"),
            bot_token=f"xoxb-{ids.digits(12)}-{ids.digits(13)}-{ids.word(24)}",
            app_token=f"xapp-1-{app_id}-{ids.digits(13)}-{ids.hexadecimal(64)}",
            signing_secret=ids.hexadecimal(32),
            verification_token=ids.word(24),
        )
