"""Running commands in tests: in this process for messages, in another for signals and streams."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np

from nndl.cli.main import main
from nndl.data import synthetic_digits, write_idx

ROOT = Path(__file__).parent.parent


@dataclass
class Done:
    """The result of a command."""

    status: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The last line on standard error."""
        return self.err.splitlines()[-1] if self.err else ""


def nndl(line: str, program: str = "nndl") -> Done:
    """Run ``nndl`` with these words in this process, as if ``program`` had been started."""
    out, err = io.StringIO(), io.StringIO()
    started_as = patch.object(sys, "argv", [program])
    with started_as, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(shlex.split(line))
    return Done(status, out.getvalue(), err.getvalue())


def words(line: str) -> list[str]:
    """Return the words that run ``nndl``, or a script of scripts/, in another process."""
    name, *rest = shlex.split(line)
    start = [str(ROOT / "scripts" / name)] if name.endswith(".py") else ["-m", "nndl", name]
    return [sys.executable, *start, *rest]


def process(line: str, cwd: Path | None = None, **env: str) -> Done:
    """Run a command in another process, with these additions to the environment."""
    done = subprocess.run(
        words(line),
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
        env=os.environ | env,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def started(line: str, **more: object) -> subprocess.Popen[str]:
    """Start a command in another process; its output is thrown away unless said otherwise."""
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | more
    return subprocess.Popen(words(line), text=True, **streams)  # type: ignore[call-overload,no-any-return]


def wait_for(path: Path, running: subprocess.Popen[str]) -> None:
    """Wait until a running command has written a file."""
    while not path.exists():
        assert running.poll() is None, "the command ended before it wrote the file"
        time.sleep(0.005)


def write_digits(folder: Path, sides: tuple[int, int] = (28, 28), n: int = 1200) -> Path:
    """Write a small data set in MNIST's format: n training images, a quarter as many to test."""
    for part, size, seed in (("train", n, 0), ("t10k", n // 4, 1)):
        if sides == (28, 28):
            data = synthetic_digits(size, np.random.default_rng(seed))
            pixels = (data.images * 256).astype(np.uint8).reshape(-1, 28, 28)
            labels = data.labels.astype(np.uint8)
        else:
            rng = np.random.default_rng(seed)
            pixels = rng.integers(0, 256, (size, *sides), np.uint8)
            labels = np.arange(size, dtype=np.uint8) % 10
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", pixels)
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels)
    return folder
