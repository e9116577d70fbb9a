"""Atomic writes, locks and regular files, tested with real processes wherever possible."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from nndl import files
from nndl.files import (
    atomic_write,
    folder_lock,
    open_regular,
    read_regular,
    remove_parts,
    write_text,
)

ROOT = Path(__file__).parent.parent

posix = pytest.mark.skipif(os.name != "posix", reason="needs what Windows lacks")


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


# Reading: regular files only.


def test_a_regular_file_and_a_link_to_one_can_be_opened(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "link").symlink_to("a")
    for name in ("a", "link"):
        with open_regular(tmp_path / name) as file:
            assert file.read() == b"content"
        assert read_regular(tmp_path / name, 7) == b"content"
        with pytest.raises(ValueError, match="it has 7 bytes, but may have at most 6"):
            read_regular(tmp_path / name, 6)


@posix
def test_what_is_not_a_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as server:
        before = Path.cwd()
        os.chdir(tmp_path)  # the name of a socket has at most 107 bytes
        try:
            server.bind("socket")
        finally:
            os.chdir(before)
        for name, reason in [
            ("pipe", "is a named pipe, not a regular file"),
            ("zero", "is a device, not a regular file"),
            ("folder", "is a folder, not a regular file"),
            ("socket", "is a socket, not a regular file"),
            ("loop", "Too many levels of symbolic links"),
            ("missing", "No such file or directory"),
        ]:
            start = time.perf_counter()
            with pytest.raises(OSError, match=reason) as caught:
                open_regular(tmp_path / name)
            assert time.perf_counter() - start < 10
            assert name in str(caught.value)
            assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"a\\x00b cannot be the name of a file"):
        open_regular("a\0b")


@posix
def test_a_pipe_that_replaces_a_file_at_the_last_moment_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"content")
    open_now = os.open

    def replaced(name: str, *rest: int) -> int:
        path.unlink()
        os.mkfifo(path)
        return open_now(name, *rest)

    monkeypatch.setattr(os, "open", replaced)
    with pytest.raises(OSError, match="is a named pipe"):
        open_regular(path)


# Writing.


def test_a_file_is_replaced_only_when_the_new_one_is_complete(tmp_path: Path) -> None:
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


@posix
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


@posix
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


@posix
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
    for size in (100_001, 1_000_000):  # the flush fails, and then the write itself
        process = python(code, path, size)
        out, err = process.communicate()
        assert "File too large: cannot write" in out, err
        assert f"{path}, which is as it was" in out
        assert path.read_text() == "old"
        assert names(tmp_path) == ["a.txt"]


@posix
def test_a_folder_without_permission_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    tmp_path.chmod(0o555)
    code = """
import ctypes, os, sys
if len(sys.argv) == 3:  # without CAP_DAC_OVERRIDE, permissions bind root too
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


@posix
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


@posix
def test_a_lock_that_is_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".lock")
    with pytest.raises(OSError, match="lock is a named pipe"), folder_lock(tmp_path):
        pass


class Msvcrt:
    """What Windows has: a lock of bytes, here of names, that only one can hold."""

    LK_NBLCK, LK_UNLCK = 2, 0

    def __init__(self) -> None:
        self.held: set[int] = set()

    def locking(self, descriptor: int, mode: int, n_bytes: int) -> None:
        assert n_bytes == 1
        place = os.fstat(descriptor).st_ino + os.lseek(descriptor, 0, os.SEEK_CUR)
        if mode == self.LK_UNLCK:
            self.held.remove(place)
        elif place in self.held:
            raise PermissionError(13, "Permission denied")
        else:
            self.held.add(place)


@posix
def test_windows_locks_with_msvcrt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "fcntl", None)
    monkeypatch.setattr(files, "msvcrt", Msvcrt())
    monkeypatch.delattr(os, "O_NONBLOCK")
    for _ in range(2):
        with folder_lock(tmp_path):
            with pytest.raises(BlockingIOError, match="another process"), folder_lock(tmp_path):
                pass
            write_text(tmp_path / "a.txt", "text")
            assert read_regular(tmp_path / "a.txt", 4) == b"text"


def test_files_can_be_used_without_modules_that_only_some_systems_have() -> None:
    code = """
import sys
for name in ("fcntl", "resource", "msvcrt"):
    sys.modules[name] = None
import select
del select.poll
from nndl import Network, storage
from nndl.files import fcntl, folder_lock, msvcrt
assert fcntl is msvcrt is None
with folder_lock(sys.argv[1]):
    storage.save(Network([3, 2]), sys.argv[1] + "/net.npz")
print(storage.load(sys.argv[1] + "/net.npz").n_in)
"""
    with tempfile.TemporaryDirectory() as folder:
        out, err = python(code, folder).communicate()
    assert out == "3\n", err


def test_old_half_written_files_are_removed_without_a_lock(tmp_path: Path) -> None:
    old, new = tmp_path / ".a.json.0123abcd.part", tmp_path / ".b.json.0123abcd.part"
    for part in (old, new):
        part.touch()
    os.utime(old, (0, time.time() - 3700))
    remove_parts(tmp_path)
    assert names(tmp_path) == [new.name]
    remove_parts(tmp_path / "missing")


def test_the_lock_removes_only_half_written_files(tmp_path: Path) -> None:
    left = [".a.npz.0123abcd.part", ".a.npz.part", "b.part", ".b.download.part", ".hidden"]
    for name in left:
        (tmp_path / name).touch()
    with folder_lock(tmp_path):
        assert names(tmp_path) == sorted([".lock", *left[1:]])


def test_a_folder_that_is_missing_cannot_be_locked(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), folder_lock(tmp_path / "no"):
        pass
