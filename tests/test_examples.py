"""The example of chapter 2 runs, and raises where it promises to."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

import nndl
from nndl.data import Dataset, synthetic_digits

CHAPTER2 = Path(__file__).parents[1] / "examples" / "chapter2.py"


@pytest.fixture(scope="module")
def digits() -> tuple[Dataset, Dataset]:
    every = synthetic_digits(3000, 0)
    return every[:2500], every[2500:]


def test_chapter_2_learns_a_small_set(
    digits: tuple[Dataset, Dataset], capsys: pytest.CaptureFixture[str]
) -> None:
    learn_digits = runpy.run_path(str(CHAPTER2))["learn_digits"]
    correct = learn_digits(*digits, epochs=8, required=0.7)
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == f"Epoch 7: {correct} / 500"
    assert len(printed) == 3 + 8


def test_chapter_2_raises_when_the_accuracy_is_missed(digits: tuple[Dataset, Dataset]) -> None:
    learn_digits = runpy.run_path(str(CHAPTER2))["learn_digits"]
    with pytest.raises(ArithmeticError, match=r"expected 100 % or more .* but got \d+\.\d\d %"):
        learn_digits(*digits, epochs=1, required=1.0)


def test_chapter_2_raises_when_the_gradient_is_wrong(
    digits: tuple[Dataset, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nndl, "gradient_check", lambda net, x, y: 0.5)
    learn_digits = runpy.run_path(str(CHAPTER2))["learn_digits"]
    with pytest.raises(ArithmeticError, match="the gradient must agree to 1e-6"):
        learn_digits(*digits)


def test_chapter_2_reaches_95_percent_on_mnist_as_it_stands(
    mnist: tuple[Dataset, Dataset, Dataset], capsys: pytest.CaptureFixture[str]
) -> None:
    runpy.run_path(str(CHAPTER2), run_name="__main__")  # raises below 95 %
    assert capsys.readouterr().out.splitlines()[-1].endswith("/ 10000")
