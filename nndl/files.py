"""Files that are whole or not there, and folders that one run at a time writes to."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["atomic_write", "folder_lock", "make_folder", "write_text"]


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Open a binary file that takes the place of ``path`` when the block ends well.

    Until then, and if the block fails, what was there before stays whole and nothing else is left
    behind; only a process killed in the block leaves a hidden ``.part`` file, for `folder_lock` to
    sweep away. The mode is what the umask allows; a symbolic link is followed.

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
            raise OSError(f"{path} is a folder or a device: give the name of a file")
        with open(part, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        with suppress(OSError):
            part.unlink()
        # A full disk names no file, the rest names the part: say what the caller asked for.
        if isinstance(error, OSError) and error.errno and error.filename in (None, str(part), part):
            state = "as it was" if os.path.exists(path) else "not there"
            if not path.parent.is_dir():
                state += f", nor is a folder {path.parent}"
            reason = f"{error.strerror}: cannot write {path}, which is {state}"
            raise OSError(error.errno, reason) from error
        raise


def make_folder(path: str | Path) -> None:
    """Make a folder, and those above it, where they are not there yet; OSError says why not."""
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"{path} should be a folder, or become one, but cannot ({error.strerror}): give another"
        ) from None


def write_text(path: str | Path, text: str) -> None:
    """Write a text as UTF-8, atomically; raises as `atomic_write`."""
    with atomic_write(path) as file:
        file.write(text.encode())


@contextmanager
def folder_lock(folder: str | Path) -> Iterator[None]:
    """Keep a folder to this process while the block runs, and clear it of half-written files.

    The lock is advisory, on the empty file ``.lock``, and ends with the process, however it ends.
    Where the system has no fcntl (Windows), nothing is locked.

    Raises
    ------
    BlockingIOError
        If another process holds the folder.
    OSError
        If the folder is missing or not writable.
    """
    with open(Path(folder) / ".lock", "ab") as file:
        if fcntl is not None:
            try:
                # lockf, not flock: a worker forked by a run that was killed does not inherit it.
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                raise BlockingIOError(
                    f"another process is writing to {folder}: wait until it ends, or choose "
                    "another folder"
                ) from None
        for part in Path(folder).glob(f".*.{'[0-9a-f]' * 8}.part"):
            part.unlink(missing_ok=True)
        yield
