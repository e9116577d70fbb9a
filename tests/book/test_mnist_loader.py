"""The book's mnist_loader."""

from __future__ import annotations

import numpy as np
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
