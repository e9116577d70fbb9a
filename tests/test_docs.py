"""The documentation is tested: its programs, their output, its links and its commands.

Each ```python block is run. A ```text block directly after it is its expected output. With
`tolerance=0.3` after ```text, each number in it may differ by that much. Blocks with a directive of
MyST, such as ```{code-cell}, are run when the site is built.
"""

from __future__ import annotations

import ast
import io
import re
import shlex
import tokenize
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from cli import nndl, process
from test_mnist import FAULTS

from nndl import __all__ as public_names

ROOT = Path(__file__).parent.parent
SITE = [page for page in sorted(ROOT.glob("docs/**/*.md")) if "_build" not in page.parts]
PAGES = [ROOT / "README.md", *SITE]
WITH_PROGRAMS = [page for page in PAGES if "```python" in page.read_text(encoding="utf-8")]
LINKED = [*PAGES, *sorted(ROOT.glob("results/*.md"))]

# Statements that take minutes, and the shorter ones that the tests run instead.
SHORTER = {"SGD(training_data, 30, 10, 3.0,": "SGD(training_data[:500], 1, 10, 3.0,"}

NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?")


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@dataclass
class Block:
    """A fenced block; ``line`` is the number of its first line in the page, from 1."""

    language: str
    tolerance: float
    line: int
    text: str
    follows: bool  # only empty lines separate it from the block before


def blocks(page: str) -> list[Block]:
    found: list[Block] = []
    lines = page.splitlines()
    follows, i = False, 0
    while i < len(lines):
        if not lines[i].startswith("```"):
            follows = follows and not lines[i].strip()
            i += 1
            continue
        language, *words = lines[i][3:].split() or [""]
        if language.startswith("{"):
            words = []  # what a directive is given
        options = dict(word.split("=") for word in words)
        tolerance = float(options.pop("tolerance", 0))
        assert not options, f"line {i + 1}: unknown {options}"
        end = next((j for j in range(i + 1, len(lines)) if lines[j].rstrip() == "```"), None)
        assert end is not None, f"line {i + 1}: the block does not end"
        text = "".join(line + "\n" for line in lines[i + 1 : end])
        found.append(Block(language, tolerance, i + 2, text, follows))
        follows, i = True, end + 1
    return found


def same(printed: str, expected: str, tolerance: float) -> bool:
    """Return whether two texts have the same lines, except for blanks at the ends of lines."""
    texts = [
        "\n".join(map(str.rstrip, text.strip("\n").splitlines())) for text in (printed, expected)
    ]
    if not tolerance:
        return texts[0] == texts[1]
    # Without their numbers and the blanks that align them, the texts must be the same.
    bare = [" ".join(NUMBER.sub("#", text).split()) for text in texts]
    numbers = [[float(number) for number in NUMBER.findall(text)] for text in texts]
    return bare[0] == bare[1] and all(
        abs(a - b) <= tolerance * (1 + 1e-9) for a, b in zip(*numbers, strict=True)
    )


def run(page: str, name: str = "page") -> int:
    """Run the programs of a page in one namespace; return how many outputs were compared."""
    for long, short in SHORTER.items():
        page = page.replace(long, short)
    namespace: dict[str, object] = {"__name__": name}
    compared, printed = 0, None
    for block in blocks(page):
        if block.language == "python":
            out = io.StringIO()
            # With empty lines before it, a traceback shows the line number of the page.
            code = compile("\n" * (block.line - 1) + block.text, name, "exec")
            with redirect_stdout(out):
                exec(code, namespace)
            printed = out.getvalue()
        else:
            if printed is not None and block.follows and block.language in ("", "text"):
                if not same(printed, block.text, block.tolerance):
                    raise AssertionError(
                        f"{name}, line {block.line}: the page says\n{block.text}"
                        f"and the program prints\n{printed}"
                    )
                compared += 1
            printed = None
    return compared


@pytest.mark.parametrize("page", WITH_PROGRAMS, ids=named)
def test_the_programs_of_a_page_print_the_expected_output(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    text = page.read_text(encoding="utf-8")
    if "load_mnist" in text or "load_data" in text:
        request.getfixturevalue("mnist")
    monkeypatch.chdir(tmp_path)
    run(text, named(page))


def test_every_output_in_the_page_on_backpropagation_is_compared() -> None:
    text = (ROOT / "docs" / "backpropagation.md").read_text(encoding="utf-8")
    assert run(text) == sum("print(" in b.text for b in blocks(text) if b.language == "python") > 4


def test_the_statements_that_are_shortened_are_still_in_a_page() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in WITH_PROGRAMS)
    assert [long for long in SHORTER if long not in text] == []


def test_the_numbers_of_the_worked_example_follow_from_each_other() -> None:
    page = (ROOT / "docs" / "backpropagation.md").read_text(encoding="utf-8")
    known = {"sigma": lambda z: 1 / (1 + np.exp(-z)), "array": np.array}
    checked = 0
    for block in blocks(page):
        if block.follows or block.language != "text":
            continue
        for statement in re.split(r"\n| {3,}(?=[a-z]\w* )", block.text):
            name, *sides = (side.strip() for side in statement.split(" = "))
            values = []
            for side in sides:
                side = re.sub(r"\(([^()]+,[^()]+)\)", r"array([\1])", side).replace("^", "**")
                if re.fullmatch(r"(sigma|array|z\d\w*|[-+*/()\[\],. \d])+", side):
                    values.append(eval(side, known))
            known |= dict.fromkeys([name], values[-1]) if values else {}
            for a, b in pairwise(values):
                np.testing.assert_allclose(a, b, rtol=0, atol=2e-6, err_msg=statement)
                checked += 1
    assert checked == 13


PROGRAM = "# Title\n\n```python\nx = 1.5\nprint('x', x)\n```\n"


@pytest.mark.parametrize(
    ("rest", "compared"),
    [
        ("```text\nx 1.5\n```\n", 1),
        ("\n```\nx 1.5  \n```\n", 1),
        ("\n```text tolerance=0.2\nx   1.7\n```\n", 1),
        ("\nIn other words:\n\n```text\ny = 2\n```\n", 0),
        ("\n```sh\nls\n```\n\n```text\ny = 2\n```\n", 0),
        ("\n```python\nx += 1\nprint(x)\n```\n\n```text\n2.5\n```\n", 1),
        ("\n```{figure} a.png\n```\n\n```text\ny = 2\n```\n", 0),
        ("", 0),
    ],
)
def test_expected_output_passes_and_other_text_is_not_compared(rest: str, compared: int) -> None:
    assert run(PROGRAM + rest) == compared


@pytest.mark.parametrize(
    ("rest", "error"),
    [
        (
            "\n```text\nx 1.6\n```\n",
            "page, line 9: the page says\nx 1.6\nand the program prints\nx 1.5",
        ),
        ("\n```text\n  x 1.5\n```\n", "the page says\n  x 1.5\nand the program prints\nx 1.5"),
        ("\n```text tolerance=0.2\nx 1.71\n```\n", "line 9"),
        ("\n```text tolerance=0.2\ny 1.5\n```\n", "line 9"),
        ("\n```text tolerance=0.2\nx 1.5 1.5\n```\n", "line 9"),
        ("\n```text tolerence=0.2\nx 1.5\n```\n", "unknown"),
        ("\n```text\nx 1.5\n", "does not end"),
    ],
)
def test_other_output_fails_with_the_line_of_the_page(rest: str, error: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(error)):
        run(PROGRAM + rest)


def prose(page: str) -> str:
    """Return a page without its blocks and code spans, which hold no links."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```$", "", page, flags=re.M | re.S))


def links(page: str) -> list[str]:
    """Return the targets of links and images that are inside the repository."""
    targets = re.findall(r"\]\(\s*<?([^)>\s]+)", prose(page))
    targets += re.findall(r"^\[[^\]]+\]: *(\S+)", prose(page), re.M)
    targets += re.findall(r"""\b(?:src|href)=["']([^"']+)""", prose(page))
    return [t for t in targets if not re.match(r"[a-z]+:|//|#", t)]


def anchors(page: str) -> set[str]:
    """Return the anchors that a Git host creates for the headings of a page."""
    titles = re.findall(
        r"^#+ +(.+?) *$", re.sub(r"^```.*?^```$", "", page, flags=re.M | re.S), re.M
    )
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", LINKED, ids=named)
def test_every_link_points_to_a_file(page: Path) -> None:
    targets = [target.partition("#")[0] for target in links(page.read_text(encoding="utf-8"))]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == [], f"{named(page)} has broken links"


@pytest.mark.parametrize("page", LINKED, ids=named)
def test_every_link_with_an_anchor_points_to_a_heading(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = [target.split("#") for target in re.findall(r"\]\(([^):\s]*#[^)\s]+)", prose(text))]
    for file, anchor in targets:
        other = (page.parent / file).read_text(encoding="utf-8") if file else text
        assert anchor in anchors(other), f"{named(page)} links to {file}#{anchor}"


def test_links_are_found_outside_of_code_only() -> None:
    page = (
        "[a](b.md) ![c](d.png) [e](https://f) [g](#h) `[i](j)`\n```text\n[k](l)\n```\n[m](n.md#o)"
    )
    page += "\n[p]: q.md\n<img src='r.svg'>\n"
    assert links(page) == ["b.md", "d.png", "n.md#o", "q.md", "r.svg"]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_no_page_has_an_open_task(page: Path) -> None:
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
    assert [(i, line) for i, line in lines if re.search("FIXME|TODO|XXX", line)] == []


def commands(page: str) -> Iterator[list[str]]:
    """Yield the words of each use of ``nndl`` or of a script in a page."""
    for block in blocks(page):
        if block.language not in ("sh", "bash", "shell", "console"):
            continue
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            while words:
                end = next((i for i, w in enumerate(words) if w in ("&&", ";", "|")), len(words))
                command, words = words[:end], words[end + 1 :]
                while command and re.fullmatch(r"\w+=.*|(.*/)?python3?", command[0]):
                    command = command[1:]  # a variable, or the interpreter
                if command[:2] == ["-m", "nndl"]:
                    command = command[1:]
                if command and re.fullmatch(r"(.*/)?nndl|scripts/.*", command[0]):
                    yield [command[0] if "scripts/" in command[0] else "nndl", *command[1:]]


def test_commands_are_found_after_others_and_across_lines() -> None:
    page = (
        "```sh\npip install . && .venv/bin/python scripts/a.py run --b 1  # c\n"
        "$ N=1 python scripts/d.py \\\n    --e=2 | tee f\nls scripts\n"
        ".venv/bin/nndl train --b 1\npython -m nndl plot x\nnndl\n```\n"
        "```text\npython scripts/g.py\n```\n"
    )
    assert list(commands(page)) == [
        ["scripts/a.py", "run", "--b", "1"],
        ["scripts/d.py", "--e=2"],
        ["nndl", "train", "--b", "1"],
        ["nndl", "plot", "x"],
        ["nndl"],
    ]


@cache
def help_of(*words: str) -> str:
    """Return what a command prints with --help."""
    line = shlex.join([*words, "--help"])
    done = nndl(line.removeprefix("nndl ")) if words[0] == "nndl" else process(Path(line).name)
    assert done.status == 0, done.err
    return done.out


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_in_a_page_exists_and_has_its_flags(page: Path) -> None:
    found = list(commands(page.read_text(encoding="utf-8")))
    assert found or page.name != "README.md", "README shows no command"
    for program, *words in found:
        path, shown = [program], help_of(program)
        known = shown
        while names := re.search(r"^ +COMMAND\n((?: {4}.*\n)+)", shown, re.M):
            if not words or words[0].startswith("-"):
                break
            assert words[0] in re.findall(r"^ {4}([\w-]+)", names[1], re.M), [*path, words[0]]
            path.append(words.pop(0))
            shown = help_of(*path)
            known += shown
        flags = {word.partition("=")[0] for word in words if word.startswith("-")}
        unknown = flags - set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", known))
        assert not unknown, f"{' '.join(path)} has no flags {sorted(unknown)}"


def lines_of_code(path: Path) -> int:
    """Return the number of lines with code: without comments, docstrings and empty lines."""
    source = path.read_text(encoding="utf-8")
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    empty = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    used = {
        line
        for token in tokens
        if token.type not in empty | {tokenize.ENDMARKER}
        for line in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            used -= set(range(node.lineno, (node.end_lineno or 0) + 1))
    return len(used)


def test_the_table_of_sizes_is_right() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\[.*\)): .* \| ([\d,]+) \|$", readme, re.MULTILINE)
    assert len(rows) == 5
    for names, printed in rows:
        paths = [ROOT / path for path in re.findall(r"\((.*?)\)", names)]
        files = [f for path in paths for f in ([path] if path.is_file() else path.rglob("*.py"))]
        lines = sum(map(lines_of_code, files))
        assert lines == pytest.approx(int(printed.replace(",", "")), rel=0.05), names


def test_every_test_that_the_page_of_reliability_names_exists() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = re.findall(r"`(\w+\.py)::(\w+)`", page)
    assert len(named) > 30
    tests = {}
    for file in {file for file, _ in named}:
        tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
        tests[file] = {f.name for f in tree.body if isinstance(f, ast.FunctionDef)}
    assert [name for file, name in named if name not in tests[file]] == []


def test_every_fault_of_a_mirror_is_on_the_page_with_its_reason() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    for fault, reasons in FAULTS.items():
        row = rf"^\| .*\b{fault}\b.* \| .*({reasons.replace(' in 0.5 s', '')}).* \|$"
        assert re.search(row, page, re.MULTILINE), fault


def test_every_public_name_is_in_the_reference() -> None:
    reference = "".join(p.read_text(encoding="utf-8") for p in SITE if p.parent.name == "api")
    names = [*public_names, "NetworkClassifier"]
    missing = [n for n in names if not re.search(rf"\bnndl\.{n}\b(?!\.)", reference)]
    assert missing == [], "add them to a page of docs/api"


def test_the_number_of_generated_cases_is_right() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    source = (ROOT / "tests" / "test_fuzz.py").read_text(encoding="utf-8")
    [cases] = re.findall(r"fuzz\.run\(seed=0, cases=(\d\d\d+)\)", source)
    assert f"{cases} cases in the suite" in page
