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


def test_a_long_text_keeps_its_ends_and_is_shortened_before_it_is_escaped() -> None:
    text = "/data/" + "\n" * 10**7 + "images.gz"
    start = time.process_time()
    shown = printable(text, 50)
    assert time.process_time() - start < 0.1
    assert shown.startswith(r"/data/\n\n")
    assert shown.endswith("images.gz")
    assert "..." in shown
