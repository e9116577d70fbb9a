"""Loading data by name or path: formats, splits, and what an import loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ["pooch", "requests", "urllib3", "PIL", "scipy.ndimage", "matplotlib"]


@pytest.mark.parametrize("module", ["nndl", "nndl.data"])
def test_an_import_loads_no_library_that_only_some_functions_need(module: str) -> None:
    code = f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_functions_for_photographs_are_imported_when_they_are_used() -> None:
    code = "import sys; from nndl.data import mnist_like; print('PIL' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "True\n", done.stderr


def test_a_name_that_the_package_lacks_is_an_attribute_error() -> None:
    import nndl.data

    with pytest.raises(AttributeError, match="no attribute 'imagenet'"):
        nndl.data.imagenet  # noqa: B018
