"""As a process of its own: prints what is corrected in moto as one service after the other is used.

``python -m tests.flows.gameday.aws.loaded sts,iam ec2``: for each argument a process is forked, in
which its services are loaded in turn. It prints one line of JSON: after each service, the corrected
attributes of classes by the module of moto that they are in.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from types import CodeType
from typing import Any

from flows.gameday.aws import corrections


def main() -> None:
    corrections.apply()
    for services in sys.argv[1:]:
        forked = os.fork()
        if forked == 0:
            print(json.dumps([_after(service) for service in services.split(",")]), flush=True)
            os._exit(0)
        _, status = os.waitpid(forked, 0)
        if status:
            sys.exit(1)


def _after(service: str) -> dict[str, list[str]]:
    import_module(f"moto.{service}.urls")
    modules = {name: module for name, module in sys.modules.items() if name.startswith("moto.")}
    return {name: _corrected(name, module) for name, module in modules.items()}


def _corrected(name: str, module: Any) -> list[str]:
    classes = [
        item for item in vars(module).values() if isinstance(item, type) and item.__module__ == name
    ]
    return sorted(
        f"{item.__name__}.{attribute} is {code.co_qualname}"
        for item in classes
        for attribute, value in vars(item).items()
        if (code := _code(value)) is not None and "gameday" in code.co_filename
    )


def _code(value: Any) -> CodeType | None:
    function = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
    return getattr(function, "__code__", None)


if __name__ == "__main__":
    main()
