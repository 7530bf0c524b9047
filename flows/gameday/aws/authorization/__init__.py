"""What IAM allows in the simulated AWS.

``conditions``, ``policy`` and ``evaluation`` decide on plain data. ``actions`` and ``resources``
say what a request needs, ``principals`` who makes it and what holds for them, ``sessions`` keeps
temporary credentials, ``consistency`` how long a change takes to count, ``handlers`` what
CloudFormation calls in somebody's name. ``enforce`` puts them together in front of every call.
"""
