"""Files are whole or not there, whatever happens: checked with real processes where it can be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nndl.files import atomic_write, folder_lock, write_text

ROOT = Path(__file__).parent.parent


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a process that can import nndl."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_file_takes_its_place_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyboardInterrupt(), OSError("no errno")])
def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail() -> None:
        with atomic_write(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(type(error)) as caught:
        fail()
    assert caught.value is error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_the_mode_is_what_the_umask_allows(tmp_path: Path) -> None:
    for umask, mode in ((0o022, 0o644), (0o077, 0o600), (0o002, 0o664)):
        before = os.umask(umask)
        try:
            write_text(tmp_path / "a.txt", "text")
        finally:
            os.umask(before)
        assert (tmp_path / "a.txt").stat().st_mode & 0o777 == mode


def test_a_link_is_followed_and_a_long_name_fits(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link.txt").symlink_to(tmp_path / "disk" / "real.txt")
    write_text(tmp_path / "link.txt", "text")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "disk" / "real.txt").read_text() == "text"
    write_text(tmp_path / ("é" * 125 + ".txt"), "text")  # 254 bytes of the 255 allowed


@pytest.mark.parametrize("target", ["", "pipe"])
def test_a_folder_or_a_device_is_never_replaced(tmp_path: Path, target: str) -> None:
    os.mkfifo(tmp_path / "pipe")  # as root, a rename would replace even /dev/null
    with pytest.raises(OSError, match="is a folder or a device"):
        write_text(tmp_path / target, "text")
    assert names(tmp_path) == ["pipe"]
    assert (tmp_path / "pipe").is_fifo()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"cannot write .*no/a\.txt, which is not there"):
        write_text(tmp_path / "no" / "a.txt", "text")


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    code = """
import resource, sys
from nndl.files import atomic_write
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    with atomic_write(sys.argv[1]) as file:
        file.write(bytes(int(sys.argv[2])))
except OSError as error:
    print(error)
"""
    for size in (100_001, 1_000_000):  # fails in the flush, and in the write itself
        process = python(code, path, size)
        out, err = process.communicate()
        assert "File too large: cannot write" in out, err
        assert f"{path}, which is as it was" in out
        assert path.read_text() == "old"
        assert names(tmp_path) == ["a.txt"]


def test_a_folder_without_permission_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    tmp_path.chmod(0o555)
    code = """
import ctypes, os, sys
if len(sys.argv) == 3:  # root without CAP_DAC_OVERRIDE obeys permissions, as everybody else
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)
    os.execv(sys.executable, [sys.executable, "-c", sys.argv[2], sys.argv[1]])
"""
    again = """
import sys
from nndl.files import write_text
try:
    write_text(sys.argv[1], "new")
except PermissionError as error:
    print(error)
"""
    out, err = python(code, tmp_path / "a.txt", again).communicate()
    tmp_path.chmod(0o755)
    assert "Permission denied: cannot write" in out, err
    assert "which is as it was" in out
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_process_killed_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    code = """
import sys
from nndl.files import atomic_write
content = 0
while True:
    with atomic_write(sys.argv[1]) as file:
        for _ in range(100):
            file.write(b"%09d\\n" % content)
    if content == 0:
        print("started", flush=True)
    content += 1
"""
    for moment in range(8):
        process = python(code, path)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.003 * moment)
        process.kill()
        process.communicate()
        lines = path.read_text().splitlines()
        assert len(lines) == 100
        assert len(set(lines)) == 1
    with folder_lock(tmp_path):
        assert names(tmp_path) == [".lock", "a.txt"]


HOLD = """
import sys, time
from nndl.files import folder_lock
with folder_lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    first = python(HOLD, tmp_path)
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    start = time.perf_counter()
    with (
        pytest.raises(BlockingIOError, match="another process is writing to"),
        folder_lock(tmp_path),
    ):
        pass
    assert time.perf_counter() - start < 1
    first.send_signal(signal.SIGKILL)
    first.communicate()
    with folder_lock(tmp_path):
        second = python(HOLD, tmp_path)
        _, err = second.communicate(timeout=30)
        assert "BlockingIOError: another process is writing to" in err
    with folder_lock(tmp_path):
        pass


def test_a_worker_that_outlives_a_killed_run_does_not_keep_the_folder(tmp_path: Path) -> None:
    code = """
import os, sys, time
from nndl.files import folder_lock
with folder_lock(sys.argv[1]):
    worker = os.fork()
    if worker:
        print(worker, flush=True)
    time.sleep(60)
"""
    run = python(code, tmp_path)
    assert run.stdout is not None
    worker = int(run.stdout.readline())
    run.kill()
    run.wait()
    try:
        with folder_lock(tmp_path):
            pass
    finally:
        os.kill(worker, signal.SIGKILL)
        run.communicate()


def test_the_lock_sweeps_away_only_what_was_half_written(tmp_path: Path) -> None:
    left = [".a.npz.0123abcd.part", ".a.npz.part", "b.part", ".b.download.part", ".hidden"]
    for name in left:
        (tmp_path / name).touch()
    with folder_lock(tmp_path):
        assert names(tmp_path) == sorted([".lock", *left[1:]])


def test_a_folder_that_is_missing_cannot_be_locked(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), folder_lock(tmp_path / "no"):
        pass
