"""What a drill came to, for people and for machines: HTML, a terminal's summary, JSON, JUnit XML."""

from flows.gameday.report.document import to_json
from flows.gameday.report.junit_xml import junit
from flows.gameday.report.page import html
from flows.gameday.report.text import summary

__all__ = ["html", "junit", "summary", "to_json"]
