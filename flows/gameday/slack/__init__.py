"""A simulated Slack on this machine, for tests, game days, benchmarks and the demo.

:class:`flows.gameday.slack.server.SimulatedSlack` is the way in.
"""
