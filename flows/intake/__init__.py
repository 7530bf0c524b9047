"""Findings of every source, one model, and the route that a finding takes."""
