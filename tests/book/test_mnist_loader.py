"""The book's mnist_loader."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path

import numpy as np
import pytest
from listings import SIZES

from nndl.book import mnist_loader


def test_the_wrapper_gives_lists_of_tuples(data, digits) -> None:
    training_data, validation_data, test_data = data
    assert [len(part) for part in data] == list(SIZES)
    assert all(type(part) is list and type(part[0]) is tuple for part in data)
    for i in (0, 17, -1):
        x, y = training_data[i]
        assert x.shape == (784, 1)
        assert x.dtype == np.float32
        assert np.array_equal(x[:, 0], digits[0].images[i])
        assert np.array_equal(y, mnist_loader.vectorized_result(digits[0].labels[i]))
    for part, source in ((validation_data, digits[1]), (test_data, digits[2])):
        assert [label for _, label in part] == source.labels.tolist()
        assert all(x.shape == (784, 1) for x, _ in part)


def test_all_x_are_views_of_one_array(data) -> None:
    (first, _), (last, _) = data[0][0], data[0][-1]
    assert first.base is last.base is not None


def test_load_data_gives_pairs_of_arrays(digits, monkeypatch) -> None:
    monkeypatch.setattr(mnist_loader, "load_mnist", lambda: digits)
    for (x, y), n in zip(mnist_loader.load_data(), SIZES, strict=True):
        assert (x.shape, x.dtype) == ((n, 784), np.float32)
        assert (y.shape, y.dtype.kind) == ((n,), "i")


def test_a_vectorized_result_is_one_hot() -> None:
    e = mnist_loader.vectorized_result(3)
    assert e.shape == (10, 1)
    assert e.ravel().tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]


def pickled(path: Path, digits) -> Path:
    """Write three pairs of arrays as the book's mnist.pkl.gz."""
    pairs = tuple((data.images, data.labels.astype(np.int64)) for data in digits)
    path.write_bytes(gzip.compress(pickle.dumps(pairs, protocol=2), 1))
    return path


def test_the_book_s_file_is_read_from_its_path(digits, tmp_path) -> None:
    path = pickled(tmp_path / "mnist.pkl.gz", digits)
    for (x, y), source in zip(mnist_loader.load_data(path), digits, strict=True):
        assert (x.dtype, y.dtype) == (np.float32, np.int64)
        assert np.array_equal(x, source.images)
        assert np.array_equal(y, source.labels)
    training_data, validation_data, test_data = mnist_loader.load_data_wrapper(str(path))
    assert [len(training_data), len(validation_data), len(test_data)] == list(SIZES)
    x, y = training_data[3]
    assert np.array_equal(x[:, 0], digits[0].images[3])
    assert np.array_equal(y, mnist_loader.vectorized_result(digits[0].labels[3]))
    assert test_data[3][1] == digits[2].labels[3]


class Hostile:
    """What a pickle may hold: a call that its reader makes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_code_in_the_file_is_not_run(tmp_path) -> None:
    path, touched = tmp_path / "mnist.pkl.gz", tmp_path / "touched"
    path.write_bytes(gzip.compress(pickle.dumps(Hostile(touched))))
    with pytest.raises(ValueError, match=r"mnist\.pkl\.gz"):
        mnist_loader.load_data_wrapper(path)
    assert not touched.exists()


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(OSError, match=r"mnist\.pkl\.gz"):
        mnist_loader.load_data(tmp_path / "mnist.pkl.gz")
