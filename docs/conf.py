"""The site. Sphinx with MyST-NB: its pages stay Markdown that a code host shows, and can be run.

sphinx-build -W -j auto docs docs/_build
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator
from html import escape
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.highlighting import PygmentsBridge
from sphinx.util import logging
from sphinx.util.osutil import relative_uri

import nndl
from nndl.cli.page import main as write_page

HERE = Path(__file__).parent
ROOT = HERE.parent
log = logging.getLogger(__name__)

project = "nndl"
author = "The nndl authors"
version = release = nndl.__version__
html_title = "nndl"
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_math_renderer = "mathml"
pygments_style = "a11y-light"
exclude_patterns = ["_build", "jupyter_execute"]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]

# Warnings are errors, and so is a name of nndl in the types of a docstring that is not documented.
nitpicky = True
nitpick_ignore_regex = [("py:class", r"(?!nndl\.).*"), ("py:obj", ".*"), ("py:exc", ".*")]
autodoc_preserve_defaults = True
default_role = "py:obj"  # `train` in a docstring is a link where such a name is documented

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4  # the anchors of a code host

# Each notebook is run by each build, in a folder of its own, and must print nothing on stderr.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_timeout = 300  # seconds of a cell
nb_execution_raise_on_error = True
nb_output_stderr = "warn"
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings have the types, with their shapes
napoleon_google_docstring = False
napoleon_use_param = False  # several parameters with one description stay together
napoleon_use_rtype = False


def math_as_mathml(self: Any, node: nodes.Element) -> None:
    """Write mathematics as MathML, which browsers draw without a script from elsewhere."""
    block = isinstance(node, nodes.math_block)
    mathml = tex2mathml(node.astext(), as_block=block)
    if block:
        number = f'<span class="eqno">({node["number"]})</span>' if node.get("number") else ""
        anchor = f' id="{node["ids"][0]}"' if node.get("ids") else ""
        mathml = f'<div class="math"{anchor}>{number}{mathml}</div>'
    self.body.append(mathml)
    raise nodes.SkipNode


# Links to the source. A code host opens ../nndl/network.py; the site has a page for it. Sphinx's
# viewcode needs every name to be documented under that of its module.


def page_of(file: Path) -> str | None:
    """Return the name of the page that shows a file of the repository, if there is one."""
    inside = file.suffix == ".py" and file.is_relative_to(ROOT)
    return "source/" + file.relative_to(ROOT).with_suffix("").as_posix() if inside else None


def link_to_source(app: Sphinx, doctree: nodes.document, name: str) -> None:
    """Turn downloads of Python files into links to their pages, and add links to the reference."""
    here = app.builder.get_target_uri(name)
    for node in list(doctree.findall(addnodes.download_reference)):
        page = page_of((HERE / app.env.relfn2path(node["reftarget"], name)[0]).resolve())
        if page:
            uri = relative_uri(here, app.builder.get_target_uri(page))
            node.replace_self(nodes.reference("", "", *node.children, refuri=uri, internal=True))
    for node in doctree.findall(addnodes.desc_signature):
        if place := place_of(node.get("module"), node.get("fullname")):
            file, line = place
            page = page_of(file)
            if page:
                uri = relative_uri(here, app.builder.get_target_uri(page)) + f"#line-{line}"
                text = nodes.inline("", "[source]", classes=["viewcode-link"])
                node += nodes.reference("", "", text, refuri=uri, internal=True)


def place_of(module: str | None, name: str | None) -> tuple[Path, int] | None:
    """Return the file and the line where a documented object is written, if it has one."""
    if not module or not name:
        return None
    found: Any = import_module(module)
    try:
        for part in name.split("."):
            found = getattr(found, part)
        found = inspect.unwrap(getattr(found, "fget", None) or getattr(found, "func", found))
        return Path(inspect.getsourcefile(found) or "").resolve(), inspect.getsourcelines(found)[1]
    except (AttributeError, TypeError, OSError):  # an attribute that only instances have
        return None


def source_pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield a page for each Python file of the package, and for others that pages link to."""
    highlighter = PygmentsBridge("html", app.config.pygments_style)
    linked = {Path(HERE, file).resolve() for file in app.env.dlfiles}
    for file in sorted(linked.union((ROOT / "nndl").rglob("*.py"))):
        if page := page_of(file):
            text = file.read_text(encoding="utf-8")
            title = escape(file.relative_to(ROOT).as_posix())
            code = highlighter.highlight_block(text, "python", lineanchors="line")
            body = f'<h1>{title}</h1><div class="file">{code}</div>'
            yield page, {"title": title, "body": body}, "page.html"


def drop_bars(app: Sphinx, doctree: nodes.document) -> None:
    """Drop progress bars from outputs: MyST-NB shows each state of a bar as a line of its own."""
    for block in doctree.findall(nodes.literal_block):
        lines = block.astext().split("\n")
        kept = [line for line in lines if not re.match(r" *\d+%\|", line)]
        if len(kept) < len(lines):
            block.rawsource = "\n".join(line for line in kept if line.strip())
            block[:] = [nodes.Text(block.rawsource)]


RESULTS = {"results": "README.md", "figures": "FIGURES.md", "ladder": "LADDER.md"}
"""Pages of the site that are generated outside of docs, and their files in results."""


def show_results(app: Sphinx, name: str, source: list[str]) -> None:
    """Fill the pages of results, and lead links to them."""
    if name in RESULTS:
        text = (ROOT / "results" / RESULTS[name]).read_text(encoding="utf-8")
        text = re.sub(r"\[([^]]+)\]\((book|replay|figures)/?\)", r"`results/\2`", text)  # folders
        source[0] = re.sub(r"\]\((?=(book|replay|figures)/)", "](../results/", text)
    for page, file in RESULTS.items():
        source[0] = re.sub(rf"\]\((\.\./)+results/{file}", f"](/{page}.md", source[0])


def write_drawing_page(app: Sphinx) -> None:
    """Write the page to draw on beside the others."""
    out = app.outdir / "digits.html"
    app.outdir.mkdir(parents=True, exist_ok=True)
    out.unlink(missing_ok=True)  # of an earlier build
    if write_page(["--out", str(out)]):
        log.warning("nndl page failed")


class Links(HTMLParser):
    """The links of a page and the anchors that it has."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.anchors, self.targets = {"", "top"}, set[str]()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for key, value in attrs:
            if key in ("id", "name") and value:
                self.anchors.add(value)
            elif key in ("href", "src") and value:
                self.targets.add(value)


def check_links(app: Sphinx, error: Exception | None) -> None:
    """Warn of each link of a written page that leads to no file or no anchor of the site."""
    if error or app.builder.name != "html":
        return
    pages = {p: Links(p) for p in sorted(Path(app.outdir).rglob("*.html"))}
    checked = 0
    for page, links in pages.items():
        if page.name == "digits.html":  # tests/test_page.py looks at it in a browser
            continue
        for target in links.targets:
            url = urlsplit(target)
            if url.scheme or url.netloc:
                continue
            checked += 1
            file = page.parent / unquote(url.path) if url.path else page
            file = Path(os.path.normpath(file))
            known = pages[file].anchors if file in pages else {""} if file.is_file() else set()
            if unquote(url.fragment) not in known:
                log.warning("%s: broken link %s", page.name, target)
    log.info("%d internal links of %d pages checked", checked, len(pages))


def setup(app: Sphinx) -> None:
    """Connect the functions of this file."""
    app.add_html_math_renderer("mathml", (math_as_mathml, None), (math_as_mathml, None))
    app.connect("builder-inited", write_drawing_page)
    app.connect("source-read", show_results)
    app.connect("doctree-read", drop_bars)
    app.connect("doctree-resolved", link_to_source)
    app.connect("html-collect-pages", source_pages)
    app.connect("build-finished", check_links)
