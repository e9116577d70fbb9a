"""The environment of a run, recorded with every result so that it can be judged years later."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy
import scipy
from threadpoolctl import threadpool_info

import nndl

__all__ = ["ENVIRONMENT", "REVISIONS", "environment", "in_words"]

_COUNT = range(2**31)
ENVIRONMENT: dict[str, Any] = {  # a schema of `nndl.storage.schema.check`
    "nndl": str,
    "python": str,
    "numpy": str,
    "scipy": str,
    "blas": [str, 100],
    "blas_threads": _COUNT,
    "cpu": str,
    "cores": (_COUNT,),
    "system": str,
    "revision": (str,),
}


REVISIONS = "Revisions between the versions 0.1.0 and 0.2.0 call themselves 0.1.0 or 0.2.0.dev0."


@cache
def environment() -> dict[str, Any]:
    """Return versions, BLAS, processor and git revision as plain JSON."""
    blas = [i for i in threadpool_info() if i["user_api"] == "blas"]
    return {
        "nndl": nndl.__version__,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
        "blas": sorted({f"{i['internal_api']} {i['version']} {_architecture(i)}" for i in blas}),
        "blas_threads": 1,
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "revision": _revision(),
    }


def _architecture(info: dict[str, Any]) -> str:
    return str(info.get("architecture", ""))


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or "unknown"


def _revision() -> str | None:
    """Return the git commit of the code, with a + if files were modified; None if unknown."""
    folder = Path(nndl.__file__).parent
    git = ["git", "-C", str(folder)]
    try:
        # The package may be installed inside another project's repository: that is not its own.
        ours = [*git, "ls-files", "--error-unmatch", "__init__.py"]
        if subprocess.run(ours, capture_output=True, timeout=5).returncode:
            return None
        head = subprocess.run(
            [*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, timeout=5
        )
        # Only changes to the package itself can affect a result.
        clean = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "."], timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return head.stdout.strip() + ("+" if clean.returncode else "")


def in_words(record: Mapping[str, Any]) -> str:
    """Return the environment of a run on one thread as a line for a generated page."""
    torch = f", PyTorch {record['torch']}" if "torch" in record else ""
    return (
        f"{record['cpu']}, {record['system']}, Python {record['python']}, NumPy {record['numpy']}, "
        f"SciPy {record['scipy']}, {', '.join(record['blas'])}{torch}, one thread; nndl "
        f"{record['nndl']} at revision {record['revision']}"
    )
