"""Regular files, written atomically or read with a limit, and folders with one writer at a time."""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, cast

from nndl.text import printable

__all__ = [
    "atomic_write",
    "folder_lock",
    "make_folder",
    "open_regular",
    "read_regular",
    "remove_parts",
    "write_text",
]


def _module(name: str) -> Any:
    """Return a module of the standard library, or None on a system that lacks it."""
    try:
        return import_module(name)
    except ImportError:
        return None


fcntl = _module("fcntl")  # not on Windows
msvcrt = _module("msvcrt")  # only on Windows

LONGEST_PATH = 400  # characters of a path that a message shows
_PART = f".*.{'[0-9a-f]' * 8}.part"
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: str | Path) -> BinaryIO:
    """Open a regular file, or a symbolic link to one, for reading as bytes.

    A named pipe would block until somebody writes to it, and a device like /dev/zero never ends.

    Raises
    ------
    OSError
        If the file is missing, not readable, or not a regular file (IsADirectoryError for a
        folder).
    ValueError
        If the path holds a null character.
    """
    return _open(path, "rb")


def _open(path: str | Path, mode: str) -> BinaryIO:
    with suppress(FileNotFoundError):  # which may be what is wanted, and open says it better
        _check_regular(path)  # before opening: to open a device may already do something
    nonblocking = getattr(os, "O_NONBLOCK", 0)  # in case a named pipe takes the place just now

    def opener(name: str, flags: int) -> int:
        descriptor = os.open(name, flags | nonblocking, 0o666)
        try:
            _check_regular(path, descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    return cast("BinaryIO", open(path, mode, opener=opener))


def _check_regular(path: str | Path, opened: int | None = None) -> None:
    try:
        kind = stat.S_IFMT(os.stat(path if opened is None else opened).st_mode)
    except ValueError as error:
        raise ValueError(f"{_shown(path)} cannot be the name of a file: {error}") from None
    if kind != stat.S_IFREG:
        error_type = IsADirectoryError if kind == stat.S_IFDIR else OSError
        raise error_type(
            f"{_shown(path)} is {_KINDS.get(kind, 'something else')}, not a regular file: give the "
            "name of a file"
        )


def _shown(path: str | Path) -> str:
    return printable(path, LONGEST_PATH)


def read_regular(path: str | Path, most: int) -> bytes:
    """Return the content of a regular file of at most ``most`` bytes.

    Raises
    ------
    ValueError
        If the file is larger.
    OSError
        As `open_regular`.
    """
    with open_regular(path) as file:
        if (size := os.fstat(file.fileno()).st_size) > most:
            raise ValueError(f"it has {size:,} bytes, but may have at most {most:,}")
        return file.read(most) or b""


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Open a binary file that replaces ``path`` when the block ends without an exception.

    Until then, and if the block fails, the old file stays as it is and nothing else is left behind.
    Only a process that is killed inside the block leaves a hidden ``.part`` file, which
    `folder_lock` or `remove_parts` removes. The mode is what the umask allows; a symbolic link is
    followed.

    Raises
    ------
    OSError
        If the folder is missing or not writable, the disk is full, or ``path`` is a folder or a
        device.
    """
    path = Path(os.path.realpath(path))
    part = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.part")
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise OSError(f"{_shown(path)} is a folder or a device: give the name of a file")
        with open(part, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        with suppress(OSError):
            part.unlink()
        # A full disk gives no file name, and other errors name the part: name what was asked for.
        if isinstance(error, OSError) and error.errno and error.filename in (None, str(part), part):
            state = "as it was" if os.path.exists(path) else "not there"
            if not path.parent.is_dir():
                state += f", nor is a folder {_shown(path.parent)}"
            reason = f"{error.strerror}: cannot write {_shown(path)}, which is {state}"
            raise OSError(error.errno, reason) from error
        raise


def make_folder(path: str | Path) -> None:
    """Make a folder and its parents if they do not exist; OSError says why it cannot be made."""
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"{_shown(path)} must be a folder or a new name, but cannot be made "
            f"({error.strerror}): give another"
        ) from None


def write_text(path: str | Path, text: str) -> None:
    """Write a text as UTF-8, atomically; raises as `atomic_write`."""
    with atomic_write(path) as file:
        file.write(text.encode())


def remove_parts(folder: str | Path, seconds: float = 3600) -> None:
    """Remove the ``.part`` files of killed processes that nobody has written to for a while.

    Parameters
    ----------
    folder : str or Path
        May be missing.
    seconds : float
        Age by the last write. With 0 nobody else may be writing to the folder: see `folder_lock`.
    """
    now = time.time()
    for part in Path(folder).glob(_PART):
        with suppress(OSError):  # another process may have been faster
            if not seconds or now - part.lstat().st_mtime > seconds:
                part.unlink()


@contextmanager
def folder_lock(folder: str | Path) -> Iterator[None]:
    """Lock a folder for this process while the block runs, and remove half-written files.

    The lock is advisory, on the empty file ``.lock``. The system releases it when the process ends,
    however it ends. It is a lock of fcntl, or of msvcrt on Windows.

    Raises
    ------
    BlockingIOError
        If another process holds the lock.
    OSError
        If the folder is missing or not writable, or ``.lock`` is not a regular file.
    """
    with _open(Path(folder) / ".lock", "ab") as file:
        try:
            _lock(file)
        except (BlockingIOError, PermissionError):
            raise BlockingIOError(
                f"another process is writing to {_shown(folder)}: wait until it ends, or choose "
                "another folder"
            ) from None
        remove_parts(folder, 0)
        try:
            yield
        finally:
            _unlock(file)


# Own code and not the library filelock, whose lock (flock) a forked worker inherits: a worker that
# outlives a killed run would keep the folder locked.


def _lock(file: BinaryIO) -> None:
    if fcntl is not None:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    elif msvcrt is not None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # PermissionError if it is held


def _unlock(file: BinaryIO) -> None:
    if fcntl is None and msvcrt is not None:  # fcntl's lock ends with the file
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
