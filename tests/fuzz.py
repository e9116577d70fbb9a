"""Hostile and damaged files, each read in a child process with limits on memory and time.

A case is a seed and a number: `make` returns the same bytes for the same two. A reader may accept a
file, or refuse it with one of the errors it documents, in one line, within SECONDS and with at most
MEMORY more than before. Anything else is a fault.

`run` starts a child (this file as a program) for a batch of cases. The child prints a line before
and after each, so that the parent knows in which case it hung or died. That case is a fault if it
ends a second child, too: other processes can take all memory of a machine.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer
from time import process_time
from typing import Any

import numpy as np

from nndl import Network, Settings
from nndl.activations import relu
from nndl.cli.config import Config
from nndl.cli.run_folder import RunFolder
from nndl.conv import Conv, MaxPool
from nndl.data import read_idx, write_idx
from nndl.dataset import Dataset
from nndl.layers import Dense, Dropout
from nndl.storage import (
    load,
    load_checkpoint,
    load_history,
    read_about,
    save,
    save_checkpoint,
    save_history,
)
from nndl.training import State, train

try:
    import resource
except ImportError:  # Windows: no limit on the memory of the child
    resource = None  # type: ignore[assignment]

SECONDS = 5.0  # of processor time
HANG = 60.0  # seconds of real time
MEMORY = 200e6  # bytes
LIMIT = 3 * 2**30  # bytes of address space of a child: beyond it MemoryError, which is a fault


# The readers, and the errors that each documents.


@dataclass(frozen=True)
class Kind:
    """A kind of file: its name, its reader, the errors it may raise, and how a case is made."""

    name: str
    read: Callable[[Path], Any]
    errors: tuple[type[Exception], ...]
    make: Callable[[random.Random, bytes], bytes]


def read_network(path: Path) -> None:
    """Read a network in every way."""
    with suppress(ValueError):
        read_about(path)
    load(path)


def read_checkpoint(path: Path) -> None:
    """Read a checkpoint in every way."""
    with suppress(ValueError):
        read_about(path)
    load_checkpoint(path)


def read_config(path: Path) -> None:
    """Read the settings of a run folder."""
    RunFolder(path.parent).recorded()


def read_picture(path: Path) -> None:
    """Read a picture, with Pillow, which is imported only for it."""
    from nndl.data.photo import read_picture as read

    read(path)


# Valid files, from which most cases start.


def valid_files(folder: Path) -> dict[str, bytes]:
    """Return the content of a small valid file of each kind."""
    layers = [Conv(2, 3, relu, pool=2), MaxPool(2), Dense(4), Dropout(0.5), Dense(2)]
    net = Network(layers, input_shape=(1, 6, 10), rng=0)
    settings = Settings(epochs=2, mu=0.5, patience=3)
    rng = np.random.default_rng(0)
    data = Dataset(rng.random((20, 60), np.float32), rng.integers(0, 2, 20))
    states: list[State] = []
    history = train(
        net, data, settings, validation=data, rng=0, after_epoch=lambda net, s: states.append(s)
    )
    for ending in (".npz", ".safetensors"):
        save(net, folder / f"network{ending}", data="MNIST")
        save_checkpoint(
            folder / f"checkpoint{ending}", net, states[0], settings, {"training": data}
        )
    save(Network([3, 2, 2], rng=0), folder / "network2.json", data="MNIST")
    save_history(history, folder / "history.json")
    RunFolder(folder).write_config(Config(hidden=(30,), eta=0.1), "MNIST training")
    write_idx(folder / "images.idx", rng.integers(0, 256, (5, 6, 7)).astype(np.uint8))
    from PIL import Image

    picture = Image.fromarray(np.where(data.images[0].reshape(6, 10) > 0.5, 255, 0).astype("uint8"))
    large = picture.resize((60, 40))
    for name, ending in PICTURES.items():
        large.save(folder / f"picture{ending}", format=name)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


PICTURES = {"PNG": ".png", "JPEG": ".jpg", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tif"}


# Changes of bytes.

NUMBERS = [0, 1, 2, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63, -1]


def mutate(rng: random.Random, raw: bytes) -> bytes:
    """Change, insert, remove, repeat or cut off some bytes."""
    for _ in range(rng.choice([1, 1, 2, 4, 8])):
        i, n = rng.randrange(len(raw) + 1), rng.choice([1, 2, 4, 8, 30])
        how = rng.randrange(7)
        if how == 0:
            raw = raw[:i] + rng.randbytes(n) + raw[i + n :]
        elif how == 1:
            raw = raw[:i] + rng.randbytes(n) + raw[i:]
        elif how == 2:
            raw = raw[:i] + raw[i + n :]
        elif how == 3:
            number = rng.choice(NUMBERS) % 2**64
            packed = number.to_bytes(8, rng.choice(["little", "big"]))
            size = rng.choice([2, 4, 8])
            raw = raw[:i] + (packed[:size] if packed[0] else packed[-size:]) + raw[i + size :]
        elif how == 4:
            j = rng.randrange(len(raw) + 1)
            raw = raw[:i] + raw[j : j + n] * rng.choice([1, 2, 1000]) + raw[i:]
        elif how == 5 and raw:
            i = min(i, len(raw) - 1)
            raw = raw[:i] + bytes([raw[i] ^ 1 << rng.randrange(8)]) + raw[i + 1 :]
        elif how == 6 and rng.random() < 0.3:
            raw = raw[:i]
    return raw


def noise(rng: random.Random) -> bytes:
    """Return random bytes behind the magic number of some format."""
    magic = rng.choice([b"", b"PK\3\4", b"PK\5\6", b"\x93NUMPY", b"{", b"[", b"\x1f\x8b\x08"])
    return magic + rng.randbytes(rng.randrange(300))


# Changes of JSON.

ATOMS = ["null", "true", "0", "-1", "1", "0.5", "2147483647", "1e308", "1e999", "NaN", '""', "[]"]
ATOMS += ["{}", '"relu"', '"dense"', '"float64"', '"\\u0000\\n\\u202e\\ud800"', "-0.0", "16777216"]


def value(rng: random.Random) -> str:
    """Return some JSON that nobody expects; sometimes megabytes of it."""
    n = rng.choice([1, 2, 10, 50, 1000, 10_000])
    if rng.random() < 0.03:
        n = rng.randrange(10**6)
    how = rng.randrange(10)
    if how == 0:
        return "9" * n
    if how == 1:
        return "[" * n + "]" * n
    if how == 2:
        return '{"a":' * n + "0" + "}" * n
    if how == 3:
        return "[" + ",".join([rng.choice(ATOMS)] * n) + "]"
    if how == 4:
        return "{" + ",".join(f'"{i}":{rng.choice(ATOMS)}' for i in range(n)) + "}"
    if how == 5:
        return json.dumps("x\n\x1b[31m\u202e"[rng.randrange(4) :] * n)
    return rng.choice(ATOMS)


def places(record: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) for everything in a value from JSON."""
    keys = list(record) if isinstance(record, dict) else range(len(record))
    below = [p for k in keys if isinstance(record[k], dict | list) for p in places(record[k])]
    return [(record, key) for key in keys] + below


def change_json(rng: random.Random, raw: bytes) -> bytes:
    """Replace, add, remove or rename things in JSON."""
    record = json.loads(raw)
    new = []
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        every = places(record)
        if not every:
            break
        container, key = rng.choice(every)
        marker = f"@{len(new)}@"
        how = rng.randrange(5)
        if how < 3:
            container[key] = marker
        elif how == 3:
            del container[key]
            continue
        elif isinstance(container, dict):
            container[rng.choice(["", "x\ny", key + " ", "__class__", "w" * 9999])] = marker
        else:
            container.append(marker)
        new.append(value(rng))
    text = json.dumps(record)
    for i, one in enumerate(new):
        text = text.replace(f'"@{i}@"', one)
    return text.encode()


BULKY = [
    (b'{"sizes":[2,1],"weights":[[', b"]]}"),
    (b'{"sizes":[2,1],"cost":"QuadraticCost","biases":[[[1]]],"weights":[[[', b"]]]}"),
    (b'{"settings":{},"environment":{},"ended":"","best_epoch":null,"epochs":{"a":[', b"]}}"),
]


def bulky(rng: random.Random) -> bytes:
    """Return as many numbers and lists as the limits of JSON allow, or a few more."""
    start, end = rng.choice(BULKY)
    number = rng.choice([b"0.1, ", b"0.25,", b"1e1, ", b"12345,", b"0.1234567890123456, "])
    unit = rng.choice([b"[0.1],", b"[],", b"{},", b"[[]],"])
    size = rng.choice([10**6, 10**7, 2**24 - 200, 2**24 + 200])
    lists = unit * rng.choice([0, 10_000, size // 70, size // 60])
    body = lists + number * max(0, (size - len(lists)) // len(number))
    if rng.random() < 0.5:
        body = body.rstrip(b", ")
    return start + body + end


def json_case(rng: random.Random, raw: bytes) -> bytes:
    """Return a JSON file."""
    if rng.random() < 0.02:
        return bulky(rng)
    how = rng.randrange(8)
    if how == 0:
        return noise(rng)
    if how == 1:
        return value(rng).encode()
    if how == 2:
        unit = rng.choice([b"[", b"[],", b'{"":', b"0,", b"1e1,", b'"",', b'"ab":0,', b" ", b"\\"])
        start = rng.choice(
            [b"", b"[", b"{", b'{"epochs":{"eta":[', b'{"sizes":[2,1],"weights":[[[']
        )
        return start + unit * rng.choice([10, 1000, 10**5, rng.randrange(6 * 10**6)])
    if how < 5:
        return mutate(rng, raw)
    return change_json(rng, raw)


# Changes of archives.


def members(raw: bytes) -> dict[str, bytes]:
    """Return what a zip archive holds."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(rng: random.Random, content: list[tuple[str, bytes]]) -> bytes:
    """Return a zip archive, whose directory may lie."""
    file = io.BytesIO()
    kinds = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]
    compression = rng.choice(kinds[:3] if rng.random() < 0.95 else kinds)
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, raw in content:
            member = zipfile.ZipInfo(name)
            member.compress_type = compression
            archive.writestr(member, raw)
        if rng.random() < 0.2:
            member = rng.choice(archive.infolist())
            names = ["file_size", "compress_size", "CRC", "header_offset", "compress_type"]
            lie = rng.choice([0, 1, 100, 2**31 - 1, 2**32 - 1, 2**40, 10**11])
            name = rng.choice([*names, "flag_bits"])
            setattr(member, name, lie % 2**32 if name == "CRC" else lie)
            if name in ("compress_type", "flag_bits"):
                setattr(member, name, lie % 2**16)
    return file.getvalue()


def header_of_array(rng: random.Random, raw: bytes) -> bytes:
    """Change the header of a .npy member."""
    size = int.from_bytes(raw[8:10], "little")
    text, rest = raw[10 : 10 + size].decode("latin-1"), raw[10 + size :]
    old = rng.choice(["<f4", "<f8", "False", "(", ")", ", ", "1", "2", "descr"])
    new = rng.choice(["|O", ">f4", "<i8", "True", "(" * 99, "9" * 30, "__import__('os')", "\n", ""])
    changed = text.replace(old, new, 1).encode("latin-1")
    return raw[:8] + struct.pack("<H", len(changed) % 2**16) + changed + rest


def npz_case(rng: random.Random, raw: bytes) -> bytes:
    """Return an .npz file."""
    how = rng.randrange(12)
    if how == 0:
        return noise(rng)
    if how < 4:
        return mutate(rng, raw)
    content = members(raw)
    name = rng.choice(list(content))
    if how < 8:
        name = "description.json"
        content[name] = change_json(rng, content[name])
    elif how == 8:
        content[name] = mutate(rng, content[name])
    elif how == 9 and name.endswith(".npy"):
        content[name] = header_of_array(rng, content[name])
    elif how == 10:  # a bomb
        n = rng.choice([10**4, 10**6, 10**8]) if rng.random() < 0.1 else 10**4
        content[name] += rng.choice([bytes(n), b"[" * n, b"[]," * (n // 3), b" " * n])
    elif rng.random() < 0.1:
        content |= {f"{i}.npy": b"" for i in range(rng.choice([10, 1000, 30_000]))}
    else:
        new = rng.choice(["../evil", "a\nb.npy", "", "x" * 60_000, "description.json", name + "\0"])
        content[new] = content.pop(name)
    return pack(rng, list(content.items()))


def tensors_case(rng: random.Random, raw: bytes) -> bytes:
    """Return a .safetensors file."""
    how = rng.randrange(8)
    if how == 0:
        return noise(rng)
    if how < 3:
        return mutate(rng, raw)
    size = int.from_bytes(raw[:8], "little")
    header, rest = raw[8 : 8 + size], raw[8 + size :]
    if how < 5:
        record = json.loads(header)
        description = record["__metadata__"]["description.json"].encode()
        changed = change_json(rng, description).decode()
        record["__metadata__"]["description.json"] = changed
        header = json.dumps(record).encode()
    elif how < 7:
        header = change_json(rng, header)
    else:
        one = '"%d":{"dtype":"F32","shape":[],"data_offsets":[%d,%d]}'
        n = rng.choice([10, 1000, 9000, 30_000, 300_000 if rng.random() < 0.1 else 10])
        header = ("{" + ",".join(one % (i, 4 * i, 4 * i + 4) for i in range(n)) + "}").encode()
        rest = bytes(4 * n)
    length = len(header) if rng.random() < 0.9 else rng.choice(NUMBERS) % 2**64
    return struct.pack("<Q", length) + header + rest


def idx_case(rng: random.Random, raw: bytes) -> bytes:
    """Return an IDX file, often gzipped."""
    how = rng.randrange(6)
    if how == 0:
        return noise(rng)
    if how < 3:
        raw = mutate(rng, raw)
    else:
        n_dims = rng.choice([0, 1, 1, 3, 3, 4, 255])
        kind = rng.choice([8, 8, 9, 0xB, 0xC, 0xD, 0xE, 0, 255])
        sides = [rng.choice([0, 1, 2, 28, 60_000, 2**16, 2**31, 2**32 - 1]) for _ in range(n_dims)]
        raw = struct.pack(f">HBB{n_dims}I", 0, kind, n_dims, *sides)
        raw += bytes(rng.choice([0, 8, 1000, 47_040_000, 10**8] if rng.random() < 0.05 else [0, 8]))
    if rng.random() < 0.6:
        raw = gzip.compress(raw, 1, mtime=0)
        if rng.random() < 0.4:
            raw = mutate(rng, raw)
    return raw


def chunk(name: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    crc = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + crc


def picture_case(rng: random.Random, raw: bytes) -> bytes:
    """Return a picture: mostly damaged, sometimes a PNG that claims a great size."""
    how = rng.randrange(8)
    if how == 0:
        return noise(rng)
    if how < 7:
        return mutate(rng, raw)
    width, height = (rng.choice([0, 1, 28, 4000, 9000, 20_000, 2**31 - 1]) for _ in range(2))
    depth, color = rng.choice([1, 8, 16, 3]), rng.choice([0, 2, 3, 4, 6, 1])
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, rng.choice([0, 1]))
    pixels = zlib.compress(bytes(rng.choice([10, 10**4, 10**6])), 9)
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(rng.choice([10, 10**7]))))
    parts = [chunk(b"IHDR", header), text, chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


KINDS = {
    "network.npz": Kind("network", read_network, (ValueError,), npz_case),
    "checkpoint.npz": Kind("checkpoint", read_checkpoint, (ValueError,), npz_case),
    "network.safetensors": Kind("safetensors", read_network, (ValueError,), tensors_case),
    "checkpoint.safetensors": Kind("safetensors", read_checkpoint, (ValueError,), tensors_case),
    "network2.json": Kind("network2", read_network, (ValueError,), json_case),
    "history.json": Kind("history", load_history, (ValueError,), json_case),
    "config.json": Kind("config", read_config, (ValueError,), json_case),
    "images.idx": Kind("IDX", read_idx, (ValueError,), idx_case),
} | {
    f"picture{ending}": Kind("picture", read_picture, (ValueError, OSError), picture_case)
    for ending in PICTURES.values()
}
ORDER = [name for name in KINDS if "picture" not in name] * 3
ORDER += [name for name in KINDS if "picture" in name]


def make(seed: int, number: int, files: dict[str, bytes]) -> tuple[str, bytes]:
    """Return the name and the content of a case."""
    rng = random.Random(f"{seed}/{number}")
    name = rng.choice(ORDER)
    return name, KINDS[name].make(rng, files[name])


# The child.


def peak() -> int:
    """Return the most memory since the last call of `reset`, in bytes; 0 if it is not known."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return 1024 * int(line.split()[1])
    return 0


def reset() -> int:
    """Start to measure the memory anew; return what is in use."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak()


def fault_of(error: Exception, kind: Kind) -> str:
    """Return what is wrong with an error; empty if it is one that the reader documents."""
    if not isinstance(error, kind.errors):
        return f"raised {type(error).__name__}: {str(error)[:200]!r}"
    text = str(error)
    if not text.isprintable() or len(text) > 1500:
        return f"its message is not one line of 1,500 characters: {text[:200]!r}"
    return ""


def judge(name: str, raw: bytes, folder: Path) -> dict[str, Any]:
    """Read a case; return the outcome, with a fault if there is one."""
    kind, path = KINDS[name], folder / name
    path.write_bytes(raw)
    before, start = reset(), process_time()
    outcome, fault = "accepted", ""
    try:
        kind.read(path)
    except Exception as error:  # of every class: that is what is looked for
        outcome, fault = "refused", fault_of(error, kind)
    seconds, memory = process_time() - start, peak() - before
    if seconds > SECONDS:
        fault = fault or f"took {seconds:.1f} s"
    if memory > MEMORY and outcome == "refused":
        fault = fault or f"was refused with {memory / 1e6:.0f} MB"
    return {
        "kind": kind.name,
        "outcome": outcome,
        "fault": fault,
        "seconds": seconds,
        "bytes": memory,
    }


def child(seed: int, first: int, last: int) -> None:
    """Read cases; print the number of each before, and its outcome after it."""
    if resource is not None:
        with suppress(OSError, ValueError):  # macOS has no such limit
            resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = valid_files(folder)
        for file, raw in files.items():  # whatever is imported or cached at first use
            if file in KINDS:
                KINDS[file].read(folder / file)
                assert judge(file, raw, folder)["outcome"] == "accepted", file
        for number in range(first, last):
            file, raw = make(seed, number, files)
            print(number, flush=True)
            print(json.dumps(judge(file, raw, folder)), flush=True)


# The parent.


@dataclass
class Outcome:
    """What became of many cases."""

    cases: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")  # seconds, and the case
    largest: tuple[float, str] = (0.0, "")  # bytes, and the refused case

    def add(self, number: int, result: dict[str, Any]) -> None:
        """Count a case."""
        self.cases += 1
        self.counts[f"{result['kind']} {result['outcome']}"] += 1
        case = f"case {number}, {result['kind']}"
        self.slowest = max(self.slowest, (result["seconds"], case))
        if result["outcome"] == "refused":
            self.largest = max(self.largest, (result["bytes"], case))
        if result["fault"]:
            self.faults.append(f"{case} {result['fault']}")

    def __str__(self) -> str:
        kinds = ", ".join(f"{name} {n:,}" for name, n in sorted(self.counts.items()))
        return (
            f"{self.cases:,} cases, {len(self.faults)} faults; slowest {self.slowest[0]:.2f} s "
            f"({self.slowest[1]}); most memory of a refused one {self.largest[0] / 1e6:.0f} MB "
            f"({self.largest[1]}); {kinds}"
        )


def run(seed: int, cases: int, first: int = 0, batch: int = 2000) -> Iterator[Outcome]:
    """Yield the outcome so far after each batch."""
    total, number, last = Outcome(), first, first + cases
    lost: list[int] = []
    while number < last:
        end = min(last, number + batch)
        for n, result in _batch(seed, number, end):
            if result["outcome"] == "lost" and n not in lost:
                lost.append(n)
                break
            total.add(n, result)
            number = n + 1
        yield total


def _batch(seed: int, first: int, last: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the results of a child: of all its cases, or up to the one that ended it."""
    command = [sys.executable, __file__, str(seed), str(first), str(last)]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            timer = Timer(HANG, process.kill)
            timer.start()
            result = process.stdout.readline()
            timer.cancel()
            if not result:
                fault = f"ended the process with status {process.wait()}"
                yield int(line), {"kind": "?", "outcome": "lost", "fault": fault} | NOTHING
                return
            yield int(line), json.loads(result)
        if process.wait():
            errors.seek(0)
            raise RuntimeError(f"the child failed between cases: {errors.read()[-500:]}")


NOTHING = {"seconds": 0.0, "bytes": 0.0}


if __name__ == "__main__":
    child(*map(int, sys.argv[1:4]))
