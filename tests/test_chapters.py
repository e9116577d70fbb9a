"""The companion pages of the book's chapters run from top to bottom, here on a small budget."""

from __future__ import annotations

import ast
import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from test_docs import links

ROOT = Path(__file__).parent.parent
PAGES = sorted(ROOT.glob("docs/chapters/chapter*.md"))
FULL = 'budget, source = 1.0, "auto"'
CELL = re.compile(
    r"^```\{code-cell\} ipython3\n(---\n.*?^---\n|(?::[^\n]*\n)+)?(.*?)^```$", re.M | re.S
)


class Cell(NamedTuple):
    line: int  # of the code, from 1
    alt: bool  # whether its pictures have a text for those who cannot see them
    code: str


def cells(page: str) -> list[Cell]:
    found = CELL.finditer(page)
    return [
        Cell(
            page.count("\n", 0, m.start(2)) + 1,
            bool(re.search(r"^ +alt: ", m[1] or "", re.M)),
            m[2],
        )
        for m in found
    ]


def run(page: str, name: str, small: str) -> int:
    """Run the cells of a page on a small budget; return the number of pictures that were drawn."""
    namespace: dict[str, Any] = {"__name__": name}
    drawn = 0
    for cell in cells(page.replace(FULL, small)):
        tree = ast.parse("\n" * (cell.line - 1) + cell.code, name)
        shown = None
        if isinstance(tree.body[-1], ast.Expr) and not cell.code.rstrip().endswith(";"):
            last = ast.Expression(tree.body.pop().value)  # type: ignore[attr-defined]
            exec(compile(tree, name, "exec"), namespace)
            shown = eval(compile(last, name, "eval"), namespace)
        else:
            exec(compile(tree, name, "exec"), namespace)
        figures = [plt.figure(number) for number in plt.get_fignums()]
        figures += [shown] if isinstance(shown, Figure) else []
        for figure in figures:
            assert cell.alt, f"{name}, line {cell.line}: the picture has no alt text"
            figure.draw_without_rendering()  # a missing glyph or a bad layout is a warning
        plt.close("all")
        drawn += len(figures)
    return drawn


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_chapter_runs_from_top_to_bottom(page: Path, digits: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count(FULL) == 1
    with matplotlib.rc_context(), redirect_stdout(StringIO()):
        assert run(text, page.name, f"budget, source = 0.01, {str(digits)!r}") >= 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_chapter_links_to_its_chapter_and_to_files_that_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    chapter = page.stem.removeprefix("chapter")
    assert f"(http://neuralnetworksanddeeplearning.com/chap{chapter}.html)" in text
    targets = [target.partition("#")[0] for target in links(text)]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_there_is_a_page_for_each_chapter() -> None:
    assert [page.stem for page in PAGES] == [f"chapter{i}" for i in range(1, 7)]


def test_a_picture_without_text_and_an_error_are_found() -> None:
    plain = "```{code-cell} ipython3\nfrom matplotlib import pyplot\npyplot.plot([1, 2])\n```\n"
    with pytest.raises(AssertionError, match="page, line 2: the picture has no alt text"):
        run(plain, "page", "")
    plt.close("all")
    told = plain.replace("3\nfrom", "3\n---\nmystnb:\n  image:\n    alt: a line\n---\nfrom")
    assert run(told, "page", "") == 1
    with pytest.raises(ZeroDivisionError):
        run(told + "```{code-cell} ipython3\n:tags: [hide-input]\n\n1 / 0\n```\n", "page", "")
