"""For the indices of acceptance points: does what they name exist, and can it fail?"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence


def missing_tests(points: Mapping[int, Sequence[str]]) -> list[str]:
    """What is wrong with the named tests (`module:function`, `module:Class` for a conformance suite); empty when nothing is. A test has to
    be there under its name, say what it promises, and check something."""
    return [
        f"{point}: {name}: {fault}"
        for point, names in points.items()
        for name in names or ("",)
        if (fault := _fault(name)) is not None
    ]


def _fault(name: str) -> str | None:
    module_name, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        return f"is not there ({error})"
    if inspect.isclass(found):
        tests = [each for each in dir(found) if each.startswith("test_")]
        return None if found.__name__.startswith("Test") and tests else "is no class of tests"
    if not attribute.startswith("test_") or not inspect.isfunction(found):
        return "is no test"
    if not inspect.getdoc(found):
        return "does not say what it promises"
    source = inspect.getsource(found)
    return None if "assert" in source or "pytest.raises" in source else "checks nothing"
