"""``clampdown doctor``: what is wrong with a set-up, what that means, and what to do. It changes nothing.

An attacker who wants to stay blinds what watches (switches GuardDuty off, deletes the rule, takes the
role away): the silence looks like peace. So everything on the way from a finding to a containment is
looked at, from AWS to the people who decide.
"""
