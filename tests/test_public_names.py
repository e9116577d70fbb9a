"""The names of the package, which are imported when they are first used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import nndl


def test_the_table_of_names_is_what_type_checkers_read() -> None:
    tree = ast.parse(Path(nndl.__file__).read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If) and not node.orelse][:1]
    imported = {
        node.module: " ".join(sorted(alias.name for alias in node.names))
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module != "typing"
    }
    table = {module: " ".join(sorted(names.split())) for module, names in nndl._MODULES.items()}
    assert imported == table
    optional = ["NetworkClassifier"]  # import * must not need scikit-learn
    assert sorted(" ".join(table.values()).split()) == sorted([*nndl.__all__, *optional])


def test_every_public_name_is_there_in_any_order_of_imports() -> None:
    program = (
        "import nndl, nndl.differences, nndl.training.train, nndl.training.metrics\n"
        "for name in nndl.__all__:\n"
        "    assert callable(getattr(nndl, name)) or type(getattr(nndl, name)).__module__ != "
        "'builtins', name\n"
        "assert set(nndl.__all__) <= set(dir(nndl))\n"
        "from nndl import *\n"
        "print(Network([2, 1]), nndl.data.load_mnist.__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.endswith("load_mnist\n")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'nndl' has no attribute 'Netwrok'"):
        nndl.Netwrok  # noqa: B018
    assert not hasattr(nndl, "differences.gradient_check")
