"""Data for the tests of the listings: small, synthetic, as the listings take them."""

from __future__ import annotations

import numpy as np
import pytest
from listings import SIZES, seed

from nndl.book import mnist_loader, network3
from nndl.data import Dataset, synthetic_digits


@pytest.fixture(scope="module")
def digits() -> tuple[Dataset, Dataset, Dataset]:
    data = synthetic_digits(sum(SIZES), 1)
    ends = np.cumsum(SIZES)
    return data[: ends[0]], data[ends[0] : ends[1]], data[ends[1] :]


@pytest.fixture
def data(digits, monkeypatch):
    """What load_data_wrapper returns, on our own digits; the reader has set a seed."""
    monkeypatch.setattr(mnist_loader, "load_mnist", lambda: digits)
    seed(12345678)
    return mnist_loader.load_data_wrapper()


@pytest.fixture
def small():
    """Fourteen tuples for a network [5, 4, 3]."""
    rng = np.random.default_rng(5)
    hot = [mnist_loader.vectorized_result(j)[:3] for j in rng.integers(0, 3, 14)]
    return [(rng.standard_normal((5, 1)), y) for y in hot]


@pytest.fixture
def shared(digits, monkeypatch):
    """What load_data_shared returns, on our own digits; the reader has set a seed."""
    monkeypatch.setattr(mnist_loader, "load_mnist", lambda: digits)
    seed(12345678)
    return network3.load_data_shared()
