"""The examples in docstrings print what they promise."""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

import nndl
from nndl.initializers import Initializer
from nndl.training.metrics import wilson_interval

ROOT = Path(nndl.__file__).parent


def with_examples() -> list[str]:
    """Return the modules of the package whose source contains an example."""
    paths = [p for p in sorted(ROOT.rglob("*.py")) if ">>> " in p.read_text(encoding="utf-8")]
    parts = [path.relative_to(ROOT.parent).with_suffix("").parts for path in paths]
    return [".".join(p[:-1] if p[-1] == "__init__" else p) for p in parts]


@pytest.mark.parametrize("name", with_examples())
def test_examples_print_what_they_promise(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if str(error.name).startswith("nndl"):
            raise
        pytest.skip(f"{name} needs the optional package {error.name}")
    failed, attempted = doctest.testmod(module)
    assert attempted > 0, "no example was found: is it in the docstring of a private name?"
    assert failed == 0, "see the captured output"


@pytest.mark.parametrize(
    "documented",
    [
        nndl.Network,
        nndl.Settings,
        nndl.accuracy,
        nndl.confusion_matrix,
        nndl.evaluate,
        nndl.gradient_check,
        nndl.train,
        Initializer,
        wilson_interval,
    ],
)
def test_what_readers_start_with_has_an_example(documented: object) -> None:
    assert ">>> " in (inspect.getdoc(documented) or "")


def test_a_wrong_promise_is_found() -> None:
    def f() -> None:
        """Add.

        >>> 1 + 1
        3
        """

    [example] = doctest.DocTestFinder().find(f, "f")
    printed: list[str] = []
    assert doctest.DocTestRunner().run(example, out=printed.append).failed == 1
