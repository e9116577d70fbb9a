"""What the tests share: the real MNIST where it is present, small data where it is not needed."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
from cli import write_digits

from nndl.data import Dataset, load_mnist

# A shell starts background jobs with SIGINT ignored, and child processes inherit that. The tests of
# Ctrl-C need the default here and in their children.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def mnist() -> tuple[Dataset, Dataset, Dataset]:
    """Training, validation and test set of the real MNIST; skip where it is absent."""
    try:
        return load_mnist(download=False)
    except OSError as error:
        pytest.skip(f"needs the MNIST files: {error}")


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small files in MNIST's format: 1,200 training images and 300 to test."""
    return write_digits(tmp_path_factory.mktemp("digits", numbered=False))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(12345678)
