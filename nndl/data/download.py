"""Download published files: from the first mirror that works, verified by size and SHA-256.

A mirror may be dead, slow, broken or hostile. Whatever it does, it costs at most `PATIENCE` seconds
and the bytes of the file that it should send, and its connections are closed before the next one
is tried.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from hashlib import file_digest
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from nndl.bars import progress_bar
from nndl.files import folder_lock
from nndl.text import printable

if TYPE_CHECKING:
    import requests

__all__ = ["Files", "cache_folder", "fetch", "is_whole"]

Files = Mapping[str, tuple[int, str]]
"""Name of each file, with its size in bytes and its SHA-256."""

PATIENCE = 5.0  # seconds: a mirror that sends less than PIECE bytes in this time is given up
PIECE = 2**14  # bytes
REDIRECTS = 10  # followed for one file
NEW = 60.0  # seconds in which a temporary folder is left alone
PREFIX = f".download-{secrets.token_hex(4)}-"  # of the temporary folders of this process


class MirrorError(Exception):
    """A mirror did not send the file; the message says why, in one line."""


def cache_folder(name: str, data_dir: str | Path | None = None) -> Path:
    """Return the sub-folder ``name`` of data_dir, NNDL_DATA_DIR or the platform's cache folder.

    Raises
    ------
    FileNotFoundError
        If the user has no home folder and NNDL_DATA_DIR is not set.
    """
    import platformdirs  # comes with pooch

    try:
        chosen = data_dir or os.environ.get("NNDL_DATA_DIR")
        folder = os.path.expanduser(chosen or platformdirs.user_cache_dir("nndl"))
    except RuntimeError:  # newer versions of platformdirs raise this where others return ~
        folder = "~"
    if str(folder).startswith("~"):
        raise FileNotFoundError(
            f"there is no home folder to keep the files of {name} in: set NNDL_DATA_DIR to a folder"
        )
    return Path(folder) / name


def is_whole(path: Path, size: int, digest: str) -> bool:
    """Return whether path is a regular file of this size and SHA-256."""
    with suppress(FileNotFoundError, NotADirectoryError):
        if path.is_file() and path.stat().st_size == size:
            with open(path, "rb") as file:
                return file_digest(file, "sha256").hexdigest() == digest
    return False


def fetch(
    names: Sequence[str], files: Files, mirrors: Sequence[str], folder: Path, title: str
) -> None:
    """Download files into a folder; a mirror that fails once is not asked again.

    Parameters
    ----------
    names : sequence of str
        The files to download: keys of ``files``, and the ends of their URLs.
    files : mapping
        Size and SHA-256 of every file.
    mirrors : sequence of str
        The beginnings of the URLs, in the order in which they are tried.
    folder : Path
        Is created if necessary.
    title : str
        The name of the data set, for messages.

    Raises
    ------
    OSError
        If no mirror works, with the reason for each, or the folder cannot be written to.
    """
    left, failures = list(mirrors), list[str]()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _temporary(folder) as temporary:
            # pooch gives its files mode 0600; this one has the mode that the umask allows.
            (model := temporary / "mode").touch()
            for name in names:
                while not is_whole(folder / name, *files[name]):
                    if not left:
                        raise _no_mirror_works(title, files, folder, failures)
                    try:
                        part = _retrieve(left[0] + name, name, files[name], temporary)
                    except MirrorError as error:
                        failures.append(f"{left.pop(0)}: {error}")
                    else:
                        os.chmod(part, model.stat().st_mode)
                        os.replace(part, folder / name)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(
            error.errno,
            f"{error.strerror}: cannot write the files of {title} into {printable(folder)}; set "
            "NNDL_DATA_DIR to another folder",
        ) from error


@contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    """Yield a new temporary folder in ``folder``; remove those of processes that were killed."""
    for old in folder.glob(".download-*"):
        # A running process holds the lock of its folder, or makes the folder at this moment. The
        # lock does not separate the threads of one process; the prefix does.
        if not old.name.startswith(PREFIX):
            with suppress(OSError):
                if time.time() - old.stat().st_mtime > NEW:
                    with folder_lock(old):
                        shutil.rmtree(old, ignore_errors=True)
    temporary = Path(mkdtemp(prefix=PREFIX, dir=folder))
    try:
        with folder_lock(temporary):
            yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _retrieve(url: str, name: str, file: tuple[int, str], folder: Path) -> str:
    """Download a file by pooch, which compares its SHA-256; return its path."""
    size, digest = file
    with warnings.catch_warnings():
        # pooch imports tqdm.auto, which warns in notebooks without ipywidgets.
        warnings.filterwarnings("ignore", "IProgress not found")
        import pooch
    pooch.get_logger().setLevel("WARNING")
    downloader = partial(_download, size=size)
    try:
        path: str = pooch.retrieve(
            url, f"sha256:{digest}", fname=name, path=folder, downloader=downloader
        )
    except ValueError:
        raise MirrorError(
            "sent other content than the published file (its SHA-256 differs)"
        ) from None
    return path


def _download(url: str, path: str, _: Any, size: int) -> None:
    """Download what should have ``size`` bytes to a path; a pooch downloader.

    A thread reads from the network, because a name server, a connection or single bytes that
    arrive one by one can each take forever in a way that no timeout of a socket ends.
    """
    transfer = _Transfer(url, size)
    got = 0
    try:
        with open(path, "wb") as file, progress_bar(size, "B", url) as bar:
            while piece := transfer.next_piece():
                file.write(piece)
                got += len(piece)
                bar.update(len(piece))
    finally:
        transfer.stop()
    if got != size:
        raise MirrorError(f"sent {'more' if got > size else f'{got:,}'} instead of {size:,} bytes")


class _Transfer:
    """A download in a thread of its own, which `stop` ends at any moment."""

    def __init__(self, url: str, size: int) -> None:
        self.url, self.size = url, size
        self.pieces: SimpleQueue[bytes | MirrorError] = SimpleQueue()
        self.sockets: list[socket.socket] = []
        self.stopped = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def next_piece(self) -> bytes:
        """Return the next bytes, b"" at the end, or raise MirrorError."""
        try:
            piece = self.pieces.get(timeout=PATIENCE)
        except Empty:
            raise MirrorError(f"no progress in {PATIENCE:g} s") from None
        if isinstance(piece, MirrorError):
            raise piece
        return piece

    def stop(self) -> None:
        """Close the connections: whatever the thread waits for ends, and so does the thread.

        Only a name server is not in our hands: a thread that waits for one ends when the
        operating system gives up.
        """
        self.stopped = True
        for connection in self.sockets:
            with suppress(OSError):  # it is closed already
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        self.thread.join(timeout=1.0)

    def opened(self, connection: socket.socket) -> None:
        """Note a new connection, or refuse it after `stop`."""
        self.sockets.append(connection)
        if self.stopped:
            raise OSError("stopped")

    def _run(self) -> None:
        try:
            with _session(self) as session, self._response(session) as response:
                got = 0
                while got <= self.size and not self.stopped:
                    # As it is sent, so that what a mirror has compressed does not expand.
                    piece = response.raw.read(PIECE, decode_content=False)
                    self.pieces.put(piece)
                    got += len(piece)
                    if not piece:
                        return
            self.pieces.put(b"")  # more than the file: the rest of it is not read
        except Exception as error:
            self.pieces.put(MirrorError(_reason(error)))

    def _response(self, session: requests.Session) -> requests.Response:
        url = self.url
        for _ in range(REDIRECTS):
            # The body is read as it is sent: a mirror must not compress it on the way.
            headers = {"Accept-Encoding": "identity"}
            response = session.get(url, headers=headers, stream=True, timeout=PATIENCE)
            if not response.is_redirect:
                response.raise_for_status()
                return response
            response.close()
            url = urljoin(url, response.headers["location"])
        raise MirrorError(f"more than {REDIRECTS} redirects")


def _session(transfer: _Transfer) -> requests.Session:
    """Return a session that tells the transfer of its sockets and reads no body of a redirect."""
    import requests
    from requests.adapters import HTTPAdapter

    class Session(requests.Session):
        def get_redirect_target(self, resp: requests.Response) -> None:
            # For a redirect, requests would first read all of the body into memory.
            return None

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            self.poolmanager.pool_classes_by_scheme = pools

        def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
            manager = super().proxy_manager_for(*args, **kwargs)
            manager.pool_classes_by_scheme = pools
            return manager

    pools = _pools(transfer)
    session = Session()
    session.mount("http://", Adapter())
    session.mount("https://", Adapter())
    return session


def _pools(transfer: _Transfer) -> dict[str, Any]:
    """Return urllib3's pools of connections, whose connections tell the transfer when they open."""
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    def noted(pool: type[HTTPConnectionPool]) -> Any:
        connection: Any = pool.ConnectionCls

        class Connection(connection):  # type: ignore[misc]
            def connect(self) -> None:
                super().connect()
                transfer.opened(self.sock)

        return type(pool.__name__, (pool,), {"ConnectionCls": Connection})

    return {"http": noted(HTTPConnectionPool), "https": noted(HTTPSConnectionPool)}


def _reason(error: Exception) -> str:
    """Return in one line why a mirror failed."""
    import requests

    if isinstance(error, MirrorError):
        return str(error)
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return printable(f"{error.response.status_code} {error.response.reason}")
    # requests and urllib3 wrap errors in errors: the innermost says what happened.
    seen: list[Any] = [error]
    while isinstance(inner := _inner(seen[-1]), Exception) and inner not in seen:
        seen.append(inner)
    said = str(getattr(seen[-1], "strerror", None) or seen[-1])
    if "object at 0x" in said:  # urllib3 begins its messages with the repr of a connection
        said = said.rpartition("object at 0x")[2].partition(": ")[2] or said
    name = type(seen[0]).__name__
    return printable(f"{name}: {said}" if said else name)


def _inner(error: Any) -> Any:
    reason = getattr(error, "reason", None)
    if isinstance(reason, Exception):
        return reason
    return next((a for a in reversed(error.args) if isinstance(a, Exception)), error.__cause__)


def _no_mirror_works(title: str, files: Files, folder: Path, failures: list[str]) -> OSError:
    return OSError(
        f"{title} could not be downloaded: {'; '.join(failures)}. Put {_listed(files)} into "
        f"{printable(folder)} by hand, or set NNDL_DATA_DIR to a folder whose sub-folder "
        f"{folder.name} has "
        "them"
    )


def _listed(files: Files) -> str:
    return f"the file{'s' * (len(files) > 1)} {', '.join(files)}"
