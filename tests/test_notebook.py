"""What notebooks show: HTML of networks, Histories and confusion matrices, and progress."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from types import SimpleNamespace
from typing import Any, ClassVar
from xml.etree import ElementTree

import numpy as np
import pytest

from nndl.conv import Conv
from nndl.dataset import Dataset
from nndl.layers import Dense, Dropout
from nndl.network import Network
from nndl.training import History, Settings, confusion_matrix, train


@pytest.fixture
def data(rng: np.random.Generator) -> Dataset:
    return Dataset(rng.random((30, 16), np.float32), rng.integers(0, 3, 30))


def cells(html: str) -> list[list[str]]:
    """Return the texts of a table; ParseError if the HTML is not well formed."""
    rows = ElementTree.fromstring(html).iter("tr")
    return [["".join(cell.itertext()) for cell in row] for row in rows]


def test_a_network_is_a_table_of_its_layers() -> None:
    net = Network([Conv(2, 3), Dropout(0.5), Dense(3)], input_shape=(1, 4, 4), rng=0)
    html = net._repr_html_()
    rows = cells(html)
    assert rows[1] == ["inputs", "1 x 4 x 4", ""]
    assert [row[2] for row in rows[2:]] == ["20", "", "27"]
    assert "47 parameters, float32" in html


def test_a_history_is_a_table_of_epochs_with_its_curves(data: Dataset) -> None:
    net = Network([16, 3], rng=0)
    history = train(net, data, Settings(epochs=3), validation=data, rng=0)
    html = history._repr_html_()
    table, _, image = html.partition("<img")
    rows = cells(table)
    assert [row[0] for row in rows] == ["", "first", "best", "last"]
    assert rows[3][1] == "2"
    assert f"{100 * history['validation_accuracy'][-1]:.2f} %" in rows[3]
    assert 'src="data:image/png;base64,iVBOR' in image


def test_a_history_without_epochs_or_measurements_has_no_curves() -> None:
    assert "0 epochs, running" in History()._repr_html_()
    assert "<img" not in History({"eta": [0.5]})._repr_html_()


def test_text_in_a_history_is_escaped() -> None:
    assert "<b>" not in History(ended="<b>stopped</b>")._repr_html_()


def test_a_confusion_matrix_is_a_picture_and_still_an_array(data: Dataset) -> None:
    counts = confusion_matrix(Network([16, 3], rng=0), data)
    html = counts._repr_html_()
    assert html is not None
    assert "base64,iVBOR" in html
    assert counts.dtype == np.int64
    assert counts.sum() == 30
    assert counts[0]._repr_html_() is None
    assert (counts / 30)._repr_html_() is None
    assert np.zeros((3, 3), np.int64).view(type(counts))._repr_html_() is not None


def test_importing_nndl_does_not_import_matplotlib_for_notebooks() -> None:
    program = "import nndl.notebook, sys; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


# Progress.


class Stream(io.StringIO):
    """A stream that remembers what was written, as a terminal or not."""

    terminal = False

    def isatty(self) -> bool:
        return self.terminal


def stream(module: str, terminal: bool) -> Stream:
    """Return a stream whose class is of another module, as the streams of shells are."""
    kind = type("Stream", (Stream,), {"__module__": module, "terminal": terminal})
    made: Stream = kind()
    return made


def printed(monkeypatch: pytest.MonkeyPatch, data: Dataset, module: str, terminal: bool) -> str:
    """Return what training prints on a shell's standard output, then on its standard error."""
    streams = stream(module, terminal), stream(module, terminal)
    monkeypatch.setattr("sys.stdout", streams[0])
    monkeypatch.setattr("sys.stderr", streams[1])
    train(Network([16, 3], rng=0), data, Settings(epochs=2), rng=0, progress=True)
    return "|".join(s.getvalue() for s in streams)


def test_progress_prints_no_bar_in_idle(monkeypatch: pytest.MonkeyPatch, data: Dataset) -> None:
    text = printed(monkeypatch, data, "idlelib.run", terminal=True)
    assert text.endswith(" s\n|")
    assert text.count("\n") == 2
    assert "\r" not in text


def test_progress_is_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, data: Dataset) -> None:
    lines, _, bar = printed(monkeypatch, data, "_io", terminal=True).partition("|")
    assert "\r" not in lines
    assert "0.00/30.0" in bar


class Shell:
    """The shell of a notebook, by which older versions of tqdm know it."""

    config: ClassVar = {"IPKernelApp": {}}


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A notebook's kernel as tqdm sees it; `shown` are the objects that it displays."""
    shown: list[object] = []
    display = SimpleNamespace(display=shown.append)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=Shell, display=display))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setitem(sys.modules, "ipykernel.zmqshell", SimpleNamespace())  # newer tqdm's sign
    monkeypatch.delenv("QT_API", raising=False)  # of consoles without widgets
    for name in ("tqdm.auto", "tqdm.autonotebook", "tqdm.notebook"):
        monkeypatch.delitem(sys.modules, name, raising=False)  # they look for widgets when imported
    return SimpleNamespace(shown=shown)


def test_a_notebook_without_ipywidgets_gets_a_bar_of_text_and_no_warning(
    kernel: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, data: Dataset
) -> None:
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")  # an error would be caught by tqdm
        text = printed(monkeypatch, data, "ipykernel.iostream", terminal=False)
    assert caught == []
    assert text.endswith("|")  # a bar on standard error would be left behind by each line
    assert "0.00/30.0" in text
    assert kernel.shown == []


class Widget:
    """As much of ipywidgets' FloatProgress, HTML and HBox as tqdm uses."""

    def __init__(self, **traits: Any) -> None:
        self.layout, self.style = SimpleNamespace(), SimpleNamespace()
        self.value: Any = ""
        self.bar_style = ""
        self.visible = True
        self.__dict__ |= traits

    def close(self) -> None:
        self.visible = False


def test_a_notebook_with_ipywidgets_gets_a_widget(
    kernel: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, data: Dataset
) -> None:
    widgets = SimpleNamespace(FloatProgress=Widget, HTML=Widget, HBox=Widget)
    monkeypatch.setitem(sys.modules, "ipywidgets", widgets)
    text = printed(monkeypatch, data, "ipykernel.iostream", terminal=False)
    assert "\r" not in text
    assert text.count("\n") == 2
    [box] = kernel.shown
    assert box.children[1].max == 30
    assert not box.visible
