"""IDX files: what is written is read back, and damaged or hostile files are refused."""

from __future__ import annotations

import gzip
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nndl.data import read_idx, write_idx
from nndl.data.idx import TYPES, read_labeled_images

posix = pytest.mark.skipif(os.name != "posix", reason="needs what Windows lacks")


@settings(deadline=None)
@given(
    array=hnp.arrays(
        st.sampled_from([np.dtype(name).newbyteorder("=") for name in TYPES.values()]),
        hnp.array_shapes(max_dims=4, max_side=4, min_side=0),
    ),
    ending=st.sampled_from(["", ".gz"]),
)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, ending: str
) -> None:
    path = tmp_path_factory.mktemp("idx") / f"array{ending}"
    write_idx(path, array)
    again = read_idx(path)
    assert again.dtype == array.dtype
    assert again.shape == array.shape
    assert again.tobytes() == array.tobytes()


def test_the_bytes_of_a_file_worked_out_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    write_idx(path, np.array([5, 0, 4], np.uint8))
    assert path.read_bytes() == bytes.fromhex("00000801 00000003 050004")


GOOD = struct.pack(">IIII", 2051, 2, 2, 2) + bytes(range(8))


def zipped(data: bytes) -> bytes:
    """Return compressed data without the time: it is part of a test's name."""
    return gzip.compress(data, mtime=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ends after 0 of 4 bytes"),
        (GOOD[:3], "ends after 3 of 4 bytes"),
        (GOOD[:15], "ends after 11 of 12 bytes"),
        (GOOD[:-1], "ends after 7 of 8 bytes"),
        (GOOD + b"x", "holds more than the 8 bytes"),
        (b"\x01" + GOOD[1:], "begins with 01000803"),
        (GOOD[:2] + b"\x0a" + GOOD[3:], "a type from 08 to 0e"),
        (GOOD[:3] + b"\x00" + GOOD[4:], "1 to 4 dimensions"),
        (GOOD[:3] + b"\xff" + GOOD[4:], "1 to 4 dimensions"),
        (struct.pack(">IIII", 2051, *[2**32 - 1] * 3), "a file of its size holds at most 16"),
        (
            struct.pack(">IIII", 2051, 60000, 28, 28),
            "mean 47,040,000 bytes, and a file of its size",
        ),
        (zipped(struct.pack(">IIII", 2051, 60000, 28, 28)), "ends after 0 of 47,040,000"),
        (zipped(struct.pack(">IIII", 2051, 2**14, 2**6, 2**6 + 1)), "at most 67,108,864"),
        (zipped(GOOD)[:-1], "end-of-stream"),
        (zipped(GOOD)[:20] + b"\0" * 30, ""),
        (zipped(GOOD + bytes(10)), "holds more"),
        (b"<html>", "begins with 3c68746d"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is not a whole IDX file") as caught:
        read_idx(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_small_file_takes_little_memory(tmp_path: Path) -> None:
    """Small files that claim gigabytes, or unpack to more than they claim or may."""
    claim = tmp_path / "claim"
    claim.write_bytes(struct.pack(">IIII", 2051, 2**16, 2**8, 2**8))
    bomb = tmp_path / "bomb"
    bomb.write_bytes(gzip.compress(GOOD + bytes(100_000_000), 1))
    honest = tmp_path / "honest"
    header = struct.pack(">IIII", 2051, 100_000, 10, 100)
    honest.write_bytes(gzip.compress(header + bytes(100_000_000), 1))
    tracemalloc.start()
    for path in (claim, bomb, honest):
        with pytest.raises(ValueError, match="whole IDX"):
            read_idx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def test_blank_images_can_be_read_though_they_unpack_to_a_thousand_times_the_size(
    tmp_path: Path,
) -> None:
    blank = np.zeros((20_000, 28, 28), np.uint8)
    write_idx(tmp_path / "blank.gz", blank)
    assert (tmp_path / "blank.gz").stat().st_size < 100_000
    assert np.array_equal(read_idx(tmp_path / "blank.gz"), blank)


@posix
def test_what_is_not_a_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(OSError, match="not a regular file"):
            read_idx(path)


def test_an_array_that_is_read_can_be_written_to(tmp_path: Path) -> None:
    for dtype in (np.uint8, np.float64):
        write_idx(tmp_path / "array", np.arange(3).astype(dtype))
        array = read_idx(tmp_path / "array")
        array += 1
        assert array.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "array",
    [np.zeros(3, complex), np.zeros(3, np.int64), np.zeros((1,) * 5, np.uint8), np.uint8(3)],
)
def test_an_array_that_the_format_cannot_hold_is_refused(tmp_path: Path, array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="IDX holds uint8"):
        write_idx(tmp_path / "file", array)
    assert not (tmp_path / "file").exists()


def test_images_and_labels_must_belong_together(tmp_path: Path) -> None:
    images, labels = tmp_path / "images", tmp_path / "labels"
    write_idx(images, np.zeros((3, 2, 2), np.uint8))
    write_idx(labels, np.array([1, 2, 3], np.uint8))
    data = read_labeled_images(images, labels, "three")
    assert data.images.shape == (3, 4)
    assert data.labels.dtype == np.intp
    write_idx(labels, np.array([1, 2, 3], np.int32))
    np.testing.assert_array_equal(read_labeled_images(images, labels, "three").labels, data.labels)
    write_idx(labels, np.array([1, 2], np.uint8))
    with pytest.raises(ValueError, match="must hold 3 whole numbers"):
        read_labeled_images(images, labels, "three")
    with pytest.raises(ValueError, match="must hold uint8 images"):
        read_labeled_images(labels, labels, "three")
    write_idx(labels, np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="float32"):
        read_labeled_images(images, labels, "three")
