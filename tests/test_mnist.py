"""MNIST is downloaded and verified, or one error says why not: real servers on loopback."""

from __future__ import annotations

import ctypes
import gzip
import hashlib
import io
import mmap
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from nndl import load_mnist
from nndl.data import download
from nndl.data import mnist as module

ROOT = Path(__file__).parent.parent
NAMES = list(module.FILES)


def idx_files() -> dict[str, bytes]:
    """Four files in MNIST's format, with 60 and 20 images."""
    rng, files = np.random.default_rng(0), {}
    for part, n in (("train", 60), ("t10k", 20)):
        pixels = rng.integers(0, 256, (n, 28, 28), np.uint8)
        files[f"{part}-images-idx3-ubyte.gz"] = struct.pack(">IIII", 2051, n, 28, 28) + bytes(
            pixels
        )
        files[f"{part}-labels-idx1-ubyte.gz"] = struct.pack(">II", 2049, n) + bytes(
            rng.integers(0, 10, n, np.uint8)
        )
    return {name: gzip.compress(raw, mtime=0) for name, raw in files.items()}


FILES = idx_files()


class Mirrors(ThreadingHTTPServer):
    """A server with a mirror for each behavior, /well/ and others.

    It counts the requests, and the connections that are still open.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: Counter[str] = Counter()
        self.open = 0
        self.over = threading.Event()

    def url(self, behavior: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{behavior}/"

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # these tests are about clients that go away


class Handler(BaseHTTPRequestHandler):
    server: Mirrors

    def handle(self) -> None:
        self.server.open += 1
        try:
            super().handle()
        finally:
            self.server.open -= 1

    def wait(self) -> None:
        """Return when the client has closed the connection."""
        while not self.server.over.is_set():
            readable = select.select([self.connection], [], [], 0.02)[0]
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                return

    def endless(self, line: bytes) -> None:
        """Send a line again and again, until the client closes the connection."""
        while not self.server.over.is_set():
            self.wfile.write(line)

    def do_GET(self) -> None:
        *_, behavior, name = self.path.split("/")
        self.server.asked[behavior] += 1
        content = FILES[name]
        if behavior.isdigit():
            self.send_error(int(behavior))
            return
        if behavior == "rude":
            self.send_response(500, "\x1b[31mlog\x07in" + "!" * 9999)
            self.end_headers()
            return
        if behavior in ("loop", "flood"):
            self.send_response(302)
            self.send_header("Location", self.path)
            if behavior == "flood":
                self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            if behavior == "flood":
                self.endless(b"10000\r\n" + bytes(2**16) + b"\r\n")
            return
        if behavior == "silent":
            self.wait()
            return
        if behavior == "header":
            self.wfile.write(b"HTTP/1.0 200 OK\r\n")
            while not self.server.over.wait(0.02):
                self.wfile.write(b"x")
            return
        if behavior in ("chunks", "chunk"):
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.endless(b"1\r\nx\r\n" * 1000 if behavior == "chunks" else b"0" * 2**16)
            return
        if behavior == "html":
            content = b"<html>log in to the hotel's network</html>"
        if behavior == "endless":
            content = bytes(50_000_000)
        if behavior == "wrong":
            content = bytes(len(content))
        self.send_response(200)
        if "gzip" in self.headers.get("Accept-Encoding", "gzip"):
            content = gzip.compress(content)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if behavior == "truncated":
            self.wfile.write(content[:-100])
        elif behavior == "stalled":
            self.wfile.write(content[:100])
            self.wait()
        elif behavior in ("drip", "slow"):
            pieces = [content[i : i + 1] for i in range(len(content))]
            if behavior == "slow":
                pieces = [content[i : i + 2**14] for i in range(0, len(content), 2**14)]
            for piece in pieces:
                self.wfile.write(piece)
                if self.server.over.wait(0.05):
                    return
        else:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def mirrors(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirrors]:
    """Serve small files, which take the place of MNIST's; forget any proxy."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(module, "FILES", table())
    monkeypatch.setattr(download, "PATIENCE", 0.5)
    with Mirrors() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        monkeypatch.setattr(module, "MIRRORS", [server.url("well")])
        yield server
        server.over.set()
        server.shutdown()


def table() -> dict[str, tuple[int, str]]:
    return {name: (len(raw), hashlib.sha256(raw).hexdigest()) for name, raw in FILES.items()}


def found(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (folder / "mnist").iterdir()}


def child(
    server: Mirrors,
    behavior: str,
    folder: Path,
    before: Callable[[], object] | None = None,
    first: str = "",
) -> subprocess.Popen[str]:
    """Start a process that loads the small files from a mirror.

    It calls ``before`` when it starts, and runs the code ``first`` before it imports the package.
    """
    code = first + (
        "from nndl.data import mnist\n"
        f"mnist.FILES, mnist.MIRRORS = {table()!r}, [{server.url(behavior)!r}]\n"
        f"print(len(mnist.load_mnist({str(folder)!r})[0]))\n"
    )
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=pipe,
        stderr=pipe,
        text=True,
        preexec_fn=before,
    )


FAULTS = {  # what a mirror does: what the error says of it
    "403": "403 Forbidden",
    "404": "404 Not Found",
    "500": "500 Internal Server Error",
    "html": "sent 42 instead of",
    "rude": "31mlog",  # of a reason with control characters, which are escaped
    "endless": "sent more instead of",
    "chunks": "sent more instead of",
    "chunk": "got more than 65536 bytes when reading chunk size",
    "flood": "more than 10 redirects",
    "truncated": "IncompleteRead|instead of",
    "stalled": "no progress in 0.5 s|timed out",
    "silent": "no progress in 0.5 s|timed out",
    "header": "no progress in 0.5 s",
    "drip": "no progress in 0.5 s",
    "wrong": "SHA-256 differs",
    "loop": "more than 10 redirects",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_next_mirror_helps_and_the_broken_one_is_asked_once(
    mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: str
) -> None:
    monkeypatch.setattr(module, "MIRRORS", [mirrors.url(fault), mirrors.url("well")])
    training, validation, test = load_mnist(tmp_path)
    assert (len(training), len(validation), len(test)) == (60, 0, 20)
    assert found(tmp_path) == FILES
    assert mirrors.asked[fault] == (10 if fault in ("loop", "flood") else 1)
    assert mirrors.asked["well"] == 4


def resident() -> int:
    """Return the bytes of memory that this process uses."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs the /proc of Linux")
@pytest.mark.parametrize("fault", FAULTS)
def test_no_thread_connection_or_memory_is_left_of_a_mirror_that_was_given_up(
    mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: str
) -> None:
    monkeypatch.setattr(module, "MIRRORS", [mirrors.url("well")])
    load_mnist(tmp_path / "first")  # what is imported and allocated once
    monkeypatch.setattr(module, "MIRRORS", [mirrors.url(fault)])
    threads, memory = set(threading.enumerate()), resident()
    with pytest.raises(OSError, match="MNIST could not be downloaded"):
        load_mnist(tmp_path)
    end = time.perf_counter() + 2
    while mirrors.open and time.perf_counter() < end:
        time.sleep(0.01)
    left = [t for t in set(threading.enumerate()) - threads if "_run" in t.name]
    assert left == []
    assert mirrors.open == 0
    assert resident() - memory < 20e6


def test_the_error_names_every_mirror_its_reason_and_what_to_do(
    mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "MIRRORS", [mirrors.url(fault) for fault in FAULTS])
    start = time.perf_counter()
    with pytest.raises(OSError, match="MNIST could not be downloaded") as caught:
        load_mnist(tmp_path)
    message = str(caught.value)
    for fault, reason in FAULTS.items():
        part = next(p for p in message.partition(" Put ")[0].split("; ") if mirrors.url(fault) in p)
        assert any(r in part for r in reason.split("|")), part
        assert len(part) < 300
    assert message.isprintable()
    assert all(name in message for name in NAMES)
    assert str(tmp_path / "mnist") in message
    assert "NNDL_DATA_DIR" in message
    assert found(tmp_path) == {}
    assert time.perf_counter() - start < 10


def test_the_reason_of_a_dead_proxy_is_what_the_system_says(
    mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setattr(module, "MIRRORS", ["https://mnist.invalid/"])
        with pytest.raises(OSError, match=r"ProxyError: Connection refused\. Put the files"):
            load_mnist(tmp_path)


def test_the_reason_of_an_unknown_host_is_what_the_system_says(
    mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def unknown(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr(module, "MIRRORS", ["https://mnist.invalid/"])
    with pytest.raises(
        OSError, match=r"ConnectionError: Name or service not known\. Put the files"
    ):
        load_mnist(tmp_path)


def test_a_network_that_swallows_packets_is_given_up_within_30_seconds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert len(module.MIRRORS) * download.PATIENCE <= 15  # what it takes in earnest
    monkeypatch.setattr(download, "PATIENCE", 0.3)
    with socket.socket() as deaf:  # its queue is full: further connections get no answer
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        address = deaf.getsockname()
        with socket.socket() as first, socket.socket() as second:
            for s in (first, second):
                s.setblocking(False)
                s.connect_ex(address)
            url = f"http://127.0.0.1:{address[1]}/"
            monkeypatch.setattr(module, "MIRRORS", [f"{url}{i}/" for i in range(3)])
            start = time.perf_counter()
            with pytest.raises(OSError, match=r"no progress|timed out"):
                load_mnist(tmp_path)
            assert 0.3 <= time.perf_counter() - start < 3


def test_a_slow_mirror_is_good_enough(
    mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "MIRRORS", [mirrors.url("slow")])
    assert len(load_mnist(tmp_path)[2]) == 20


def test_what_is_cached_needs_no_network(mirrors: Mirrors, tmp_path: Path) -> None:
    load_mnist(tmp_path)
    mirrors.asked.clear()
    images = load_mnist(tmp_path, download=False, dtype=np.uint8)[0].images
    assert images.dtype == np.uint8
    assert np.array_equal(load_mnist(tmp_path)[0].images, np.float32(images) / 256)
    assert not mirrors.asked


def test_unzipped_files_in_the_cache_are_accepted(
    mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    raw = {name[:-3]: gzip.decompress(content) for name, content in FILES.items()}
    sums = {
        name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in raw.items()
    }
    monkeypatch.setattr(module, "UNZIPPED", sums)
    (tmp_path / "mnist").mkdir()
    for name, content in raw.items():
        (tmp_path / "mnist" / name).write_bytes(content)
    assert len(load_mnist(tmp_path, download=False)[0]) == 60
    (tmp_path / "mnist" / NAMES[0][:-3]).write_bytes(raw[NAMES[0][:-3]][::-1])
    with pytest.raises(FileNotFoundError, match=r"^train-images-idx3-ubyte\.gz must be in"):
        load_mnist(tmp_path, download=False)


def test_the_unzipped_files_are_those_of_the_published_ones(mnist: tuple[object, ...]) -> None:
    folder = download.cache_folder("mnist")
    for name, (size, digest) in module.UNZIPPED.items():
        packed, unzipped = folder / f"{name}.gz", folder / name
        raw = gzip.decompress(packed.read_bytes()) if packed.exists() else unzipped.read_bytes()
        assert (len(raw), hashlib.sha256(raw).hexdigest()) == (size, digest)


def test_a_download_works_without_standard_error(
    mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert len(load_mnist(tmp_path)[0]) == 60


def test_a_download_shows_its_progress_on_a_terminal(
    mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    load_mnist(tmp_path)
    assert mirrors.url("well") in terminal.getvalue()
    assert "/47.1k" in terminal.getvalue()


NOTEBOOK = """
import sys, types, warnings
warnings.simplefilter("always")  # an error would be caught by tqdm
class Shell:
    config = {"IPKernelApp": {}}
sys.modules["IPython"] = types.SimpleNamespace(get_ipython=Shell)
sys.modules["ipykernel.zmqshell"] = sys.modules["ipywidgets"] = None
"""


def test_a_notebook_without_ipywidgets_gets_no_warning(mirrors: Mirrors, tmp_path: Path) -> None:
    process = child(mirrors, "well", tmp_path, first=NOTEBOOK)
    assert process.communicate(timeout=60) == ("60\n", "")


@pytest.mark.parametrize("damage", ["truncated", "other", "empty", "missing"])
@pytest.mark.parametrize("name", NAMES[:2])
def test_a_damaged_file_is_never_loaded_but_fetched_again(
    mirrors: Mirrors, tmp_path: Path, name: str, damage: str
) -> None:
    load_mnist(tmp_path)
    path, whole = tmp_path / "mnist" / name, FILES[name]
    path.write_bytes({"truncated": whole[:-1], "other": whole[::-1]}.get(damage, b""))
    if damage == "missing":
        path.unlink()
    with pytest.raises(FileNotFoundError, match=name):
        load_mnist(tmp_path, download=False)
    mirrors.asked.clear()
    load_mnist(tmp_path)
    assert mirrors.asked == {"well": 1}
    assert found(tmp_path) == FILES


def test_files_are_readable_by_others_as_the_umask_says(mirrors: Mirrors, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        load_mnist(tmp_path)
    finally:
        os.umask(before)
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "mnist").iterdir()} == {0o640}


def test_processes_that_download_at_once_all_end_well(mirrors: Mirrors, tmp_path: Path) -> None:
    children = [child(mirrors, "slow", tmp_path) for _ in range(4)]
    outputs = [process.communicate(timeout=60) for process in children]
    assert [out for out, _ in outputs] == ["60\n"] * 4, outputs
    assert found(tmp_path) == FILES


def test_a_process_killed_while_downloading_leaves_nothing_that_is_loaded(
    mirrors: Mirrors, tmp_path: Path
) -> None:
    process = child(mirrors, "stalled", tmp_path)
    while not mirrors.asked["stalled"]:
        time.sleep(0.01)
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    left = list((tmp_path / "mnist").glob(".download-*"))
    assert len(left) == 1
    with pytest.raises(FileNotFoundError):
        load_mnist(tmp_path, download=False)
    os.utime(left[0], (0, 0))  # older than a minute
    load_mnist(tmp_path)
    assert set(os.listdir(tmp_path / "mnist")) == set(FILES)


def test_the_folder_of_a_download_that_still_runs_is_left_alone(
    mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    process = child(mirrors, "stalled", tmp_path)
    while not mirrors.asked["stalled"]:
        time.sleep(0.01)
    (folder,) = (tmp_path / "mnist").glob(".download-*")
    os.utime(folder, (0, 0))
    load_mnist(tmp_path)
    assert folder.exists()
    process.kill()
    process.communicate()


def test_a_full_disk_is_named(mirrors: Mirrors, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="needs limits of a process")
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (9000, 9000))
    _, error = child(mirrors, "well", tmp_path, limit).communicate(timeout=60)
    last = error.splitlines()[-1]
    assert "cannot write the files of MNIST into" in last
    assert str(tmp_path / "mnist") in last
    assert not any(name in os.listdir(tmp_path / "mnist") for name in NAMES[:1])


def obey_permissions() -> None:
    """Take from root the capability, CAP_DAC_OVERRIDE, by which it does not."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)


@pytest.mark.parametrize("complete", [True, False])
def test_a_cache_that_cannot_be_written(
    mirrors: Mirrors, tmp_path_factory: pytest.TempPathFactory, complete: bool
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    load_mnist(folder)
    if not complete:
        (folder / "mnist" / NAMES[0]).unlink()
    (folder / "mnist").chmod(0o555)
    out, error = child(mirrors, "well", folder, obey_permissions).communicate(timeout=60)
    if complete:
        assert out == "60\n", error
    else:
        assert "cannot write the files of MNIST into" in error.splitlines()[-1]
        assert "NNDL_DATA_DIR" in error.splitlines()[-1]


def test_a_file_where_the_folder_should_be_is_named(mirrors: Mirrors, tmp_path: Path) -> None:
    (tmp_path / "mnist").write_text("not a folder")
    with pytest.raises(OSError, match="cannot write the files of MNIST into"):
        load_mnist(tmp_path)


def test_no_home_folder_is_an_error_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NNDL_DATA_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    # What it does for a user without a home.
    monkeypatch.setattr(os.path, "expanduser", lambda path: str(path))
    with pytest.raises(FileNotFoundError, match="set NNDL_DATA_DIR"):
        load_mnist()


def test_the_variable_names_the_folder(
    mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NNDL_DATA_DIR", str(tmp_path))
    load_mnist()
    assert found(tmp_path) == FILES


def test_a_proxy_is_used(mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "MIRRORS", ["http://mnist.invalid/well/"])
    monkeypatch.setenv("http_proxy", mirrors.url("").rstrip("/"))
    load_mnist(tmp_path)
    assert mirrors.asked == {"well": 4}


def test_the_real_files(mnist: tuple[object, ...]) -> None:
    training, validation, test = load_mnist(dtype=np.uint8, download=False)
    assert training.images.shape == (50_000, 784)
    assert [len(validation), len(test)] == [10_000, 10_000]
    assert training.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert load_mnist(download=False)[0].images.max() == np.float32(255 / 256)
