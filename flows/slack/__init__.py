"""Slack as a face of Clampdown: what it shows is computed from the journal, and decides nothing."""
