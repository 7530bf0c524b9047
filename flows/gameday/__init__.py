"""Rehearsing incidents: a simulated AWS, worlds to fill it with, and the sandbox."""
