"""What notebooks show: HTML of networks, Histories and confusion matrices."""

from __future__ import annotations

import subprocess
import sys
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
