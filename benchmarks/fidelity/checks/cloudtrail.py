"""CloudTrail: trails and the event history."""

from __future__ import annotations

from benchmarks.fidelity.account import Account
from benchmarks.fidelity.verdicts import Known, Verdicts, check


@check(
    "cloudtrail",
    "trails and the event history",
    known={
        "log files are delivered to the bucket": Known(
            "cloudtrail:StartLogging", "Clampdown looks events up, and reads no log files"
        ),
        "a trail's events are queried in a data store": Known(
            "cloudtrail:CreateEventDataStore", "CloudTrail Lake takes no new customers"
        ),
    },
)
def _trails(account: Account, seen: Verdicts) -> None:
    cloudtrail, s3 = account("cloudtrail"), account("s3")
    s3.create_bucket(Bucket="trail-of-the-account")
    cloudtrail.create_trail(Name="trail", S3BucketName="trail-of-the-account")
    cloudtrail.start_logging(Name="trail")
    status = cloudtrail.get_trail_status(Name="trail")
    seen.holds("a trail logs", status["IsLogging"] is True, status)
    events = seen.done(
        "events are looked up",
        lambda: cloudtrail.lookup_events(
            LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "StartLogging"}]
        )["Events"],
    )
    sources = [event["EventSource"] for event in events or []]
    seen.holds("calls are events", sources == ["cloudtrail.amazonaws.com"], sources)
    count = s3.list_objects_v2(Bucket="trail-of-the-account")["KeyCount"]
    seen.holds("log files are delivered to the bucket", count > 0, "never any")
    seen.done("a trail is stopped", lambda: cloudtrail.stop_logging(Name="trail"))
    status = cloudtrail.get_trail_status(Name="trail")
    seen.holds("and says so", status["IsLogging"] is False, status)
    seen.done(
        "a trail's events are queried in a data store",
        lambda: cloudtrail.create_event_data_store(Name="events"),
    )
