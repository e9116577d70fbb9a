"""The wheel: what `pip install` gives, used in an empty folder without the repository."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from cli import ROOT
from PIL import Image

BUILD = (
    "import sys; from hatchling.builders.wheel import WheelBuilder; "
    "print(*WheelBuilder(sys.argv[1]).build(directory=sys.argv[2], versions=['standard']))"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this repository."""
    folder = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-c", BUILD, str(ROOT), str(folder)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment in which only the wheel was installed."""
    if find_spec("pip") is None:
        pytest.skip("needs pip")
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=os.name != "nt")
    paths = {"base": str(folder), "platbase": str(folder)}
    scripts = Path(sysconfig.get_path("scripts", "venv", paths))
    # What nndl needs is taken from this environment: the test must not need the network.
    here = Path(sysconfig.get_path("purelib", "venv", paths))
    (here / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(scripts / "python"), "install", "-q"]
    options = ["--no-deps", "--no-index", "--disable-pip-version-check", str(wheel)]
    done = subprocess.run([*pip, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return scripts


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "nndl"], capture_output=True, text=True
    )
    if tracked.returncode == 0 and tracked.stdout:
        assert set(tracked.stdout.split()) <= names
    assert all(name.startswith("nndl/") for name in names)
    assert {"nndl/py.typed", "nndl/__main__.py", "nndl/reproduction/published.json"} <= names


def test_the_commands_work_in_an_empty_folder(scripts: Path, digits: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    picture = Image.new("L", (60, 60), 255)
    picture.paste(0, (28, 10, 33, 50))
    picture.save(tmp_path / "one.png")
    run = Path("results", "runs", "digits-5")

    def typed(program: str, *words: object) -> str:
        done = subprocess.run(
            [str(scripts / program), *map(str, words)],
            cwd=work,
            capture_output=True,
            text=True,
            env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
        )
        assert (done.returncode, done.stderr) == (0, ""), words
        return done.stdout

    where = typed("python", "-c", "import nndl.network; print(nndl.network.__file__)")
    assert Path(where.strip()).is_relative_to(scripts.parent)
    assert typed("nndl").startswith("usage: nndl ")
    assert typed("nndl", "--version") == typed("python", "-m", "nndl", "--version")
    out = typed("nndl", "train", "--data", digits, "--hidden", 5, "--epochs", 1)
    assert out.endswith(f"written to {run}\n")
    assert f"drawn in {run}: " in typed("nndl", "evaluate", run)
    assert typed("nndl", "plot", run) == "written to curves.png\n"
    assert "one.png: " in typed("nndl", "predict", tmp_path / "one.png")
    assert "c1-net30" in typed("nndl", "reproduce", "list")
    assert {path.name for path in work.iterdir()} == {"results", "curves.png", "readings.png"}
