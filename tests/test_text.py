"""Foreign text in messages: one line, printable, of limited length."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nndl.text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("results/runs/mnist-100", "results/runs/mnist-100"),
        ("größe 手写", "größe 手写"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("abc\u202egpj.exe", r"abc\u202egpj.exe"),
        ("\udcff", r"\udcff"),
        (ValueError("a\nreason"), r"a\nreason"),
    ],
)
def test_what_cannot_be_printed_is_escaped(text: object, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters(exclude_categories=())), st.integers(20, 100))
def test_every_text_becomes_one_line_of_limited_length(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit
    shown.encode()
    if text.isprintable() and len(text) <= limit:
        assert shown == text


def test_the_ends_of_a_long_text_are_kept_and_it_costs_no_time() -> None:
    start = time.perf_counter()
    shown = printable("/data/" + "\n" * 10**8 + "images.gz", 50)
    assert time.perf_counter() - start < 1  # to make the text takes most of it
    assert shown.startswith(r"/data/\n\n")
    assert shown.endswith("images.gz")
    assert "..." in shown
