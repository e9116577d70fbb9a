"""MNIST arrives whole and verified, or an error names every reason: real servers on loopback."""

from __future__ import annotations

import ctypes
import gzip
import hashlib
import os
import resource
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

from nndl import load_folder, load_mnist
from nndl.data import mnist as module
from nndl.data import write_idx

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
    """A server with a mirror for each way to behave, /well/ and the rest; it counts requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: Counter[str] = Counter()
        self.over = threading.Event()

    def url(self, behaviour: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{behaviour}/"

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that went away is what these tests are about


class Handler(BaseHTTPRequestHandler):
    server: Mirrors

    def do_GET(self) -> None:
        *_, behaviour, name = self.path.split("/")
        self.server.asked[behaviour] += 1
        content = FILES[name]
        if behaviour.isdigit():
            self.send_error(int(behaviour))
            return
        if behaviour == "loop":
            self.send_response(302)
            self.send_header("Location", self.path)
            self.end_headers()
            return
        if behaviour == "silent":
            self.server.over.wait(20)
            return
        if behaviour == "html":
            content = b"<html>log in to the hotel's network</html>"
        if behaviour == "endless":
            content = bytes(50_000_000)
        if behaviour == "wrong":
            content = bytes(len(content))
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if behaviour == "truncated":
            self.wfile.write(content[:-100])
        elif behaviour == "stalled":
            self.wfile.write(content[:100])
            self.server.over.wait(20)
        elif behaviour in ("drip", "slow"):
            pieces = [content[i : i + 1] for i in range(len(content))]
            if behaviour == "slow":
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
    monkeypatch.setattr(module, "PATIENCE", 0.5)
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
    server: Mirrors, behaviour: str, folder: Path, before: Callable[[], object] | None = None
) -> subprocess.Popen[str]:
    """Start a process that loads the small files from a mirror; it calls ``before`` first."""
    code = (
        "from nndl.data import mnist\n"
        f"mnist.FILES, mnist.MIRRORS = {table()!r}, [{server.url(behaviour)!r}]\n"
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
    "endless": "sent more instead of",
    "truncated": "IncompleteRead|instead of",
    "stalled": "no progress in 0.5 s|Read timed out",
    "silent": "no progress in 0.5 s|Read timed out",
    "drip": "no progress in 0.5 s",
    "wrong": "SHA-256 differs",
    "loop": "TooManyRedirects",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_next_mirror_helps_and_the_broken_one_is_asked_once(
    mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: str
) -> None:
    monkeypatch.setattr(module, "MIRRORS", [mirrors.url(fault), mirrors.url("well")])
    training, validation, test = load_mnist(tmp_path)
    assert (len(training), len(validation), len(test)) == (60, 0, 20)
    assert found(tmp_path) == FILES
    assert mirrors.asked[fault] == (31 if fault == "loop" else 1)
    assert mirrors.asked["well"] == 4


def test_the_error_names_every_mirror_its_reason_and_what_to_do(
    mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "MIRRORS", [mirrors.url(fault) for fault in FAULTS])
    start = time.perf_counter()
    with pytest.raises(OSError, match="MNIST could not be downloaded") as caught:
        load_mnist(tmp_path)
    message = str(caught.value)
    for fault, reason in FAULTS.items():
        part = next(p for p in message.split("; ") if mirrors.url(fault) in p)
        assert any(r in part for r in reason.split("|")), part
    assert all(name in message for name in NAMES)
    assert str(tmp_path / "mnist") in message
    assert "NNDL_DATA_DIR" in message
    assert found(tmp_path) == {}
    assert time.perf_counter() - start < 10


def test_a_network_that_swallows_packets_is_given_up_within_30_seconds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert len(module.MIRRORS) * module.PATIENCE <= 15  # what it takes in earnest
    monkeypatch.setattr(module, "PATIENCE", 0.3)
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
    children = [child(mirrors, "slow", tmp_path) for _ in range(8)]
    answers = [process.communicate(timeout=60) for process in children]
    assert [out for out, _ in answers] == ["60\n"] * 8, answers
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
    with pytest.raises(FileNotFoundError):
        load_mnist(tmp_path, download=False)
    load_mnist(tmp_path)
    assert {name for name in os.listdir(tmp_path / "mnist") if name[0] != "."} == set(FILES)


def test_a_full_disk_is_named(mirrors: Mirrors, tmp_path: Path) -> None:
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


def test_a_proxy_is_honoured(
    mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
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


# Other data sets in MNIST's format.


def write_set(folder: Path, name: str) -> None:
    rng = np.random.default_rng(0)
    for part, n in (("train", 12), ("t10k", 4)):
        start = name.format(part)
        write_idx(folder / f"{start}-images-idx3-ubyte", rng.integers(0, 256, (n, 3, 3), np.uint8))
        write_idx(folder / f"{start}-labels-idx1-ubyte.gz", np.arange(n, dtype=np.uint8))


def test_a_folder_is_named_and_split(tmp_path: Path) -> None:
    write_set(tmp_path, "{}")
    training, validation, test = load_folder(tmp_path)
    assert (len(training), len(validation), len(test)) == (10, 2, 4)
    assert training.name == f"{tmp_path.name} training"
    assert validation.labels.tolist() == [10, 11]
    assert training.images.dtype == np.float32


def test_two_sets_in_one_folder_are_not_mixed(tmp_path: Path) -> None:
    write_set(tmp_path, "{}")
    write_set(tmp_path, "emnist-digits-{}")
    with pytest.raises(FileNotFoundError, match="should have one file"):
        load_folder(tmp_path)


def test_a_folder_above_mnist_is_pointed_out(tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    with pytest.raises(FileNotFoundError, match="its sub-folder mnist has them"):
        load_folder(tmp_path)
