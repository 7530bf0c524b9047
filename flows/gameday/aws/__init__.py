"""A simulated AWS for incident response: moto, corrected where it differs from AWS.

One module per service holds its corrections; each names the rule of AWS that it restores.
"""
