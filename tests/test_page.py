"""The page to draw on: what is in the file, and what a real browser makes of it."""

from __future__ import annotations

import base64
import json
import re
import shutil
import sys
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cli import nndl
from PIL import Image, ImageDraw

from nndl import (
    BatchNorm,
    Conv,
    Dataset,
    Dense,
    Dropout,
    History,
    LeakyReLU,
    MaxPool,
    Network,
    cross_entropy,
    fold,
    identity,
    leaky_relu,
    load_mnist,
    log_likelihood,
    quadratic,
    relu,
    scaled_tanh,
    sigmoid,
    softmax,
    synthetic_digits,
    tanh,
)
from nndl.activations import ACTIVATIONS, Activation
from nndl.cli.config import Config
from nndl.cli.run_folder import RunFolder
from nndl.costs import COSTS, Cost
from nndl.export.page import LARGEST_PAGE, make_page
from nndl.layers import Layer
from nndl.storage import save, save_history
from nndl.storage.description import describe
from nndl.storage.weights_by_epoch import keep_weights

CONV_85_670 = (Conv(20, 5, relu, 2), Conv(40, 5, relu, 2), Dense(100, relu), Dense(10, softmax))
CONV_SMALL = (Conv(6, 5, relu, 2), Conv(10, 5, relu, 2), Dense(30, relu), Dense(10, softmax))

# The middle lines of digits on the pad, from 0 to 1.
STROKES: dict[int, list[list[tuple[float, float]]]] = {
    0: [[(0.5, 0.18), (0.33, 0.3), (0.28, 0.5), (0.33, 0.7), (0.5, 0.84), (0.67, 0.7), (0.72, 0.5),
         (0.67, 0.3), (0.5, 0.18)]],
    1: [[(0.52, 0.18), (0.48, 0.82)]],
    2: [[(0.3, 0.3), (0.45, 0.18), (0.65, 0.22), (0.68, 0.4), (0.5, 0.6), (0.3, 0.8), (0.72, 0.8)]],
    3: [[(0.3, 0.25), (0.5, 0.17), (0.68, 0.28), (0.6, 0.42), (0.45, 0.48), (0.65, 0.55),
         (0.72, 0.7), (0.55, 0.84), (0.3, 0.8)]],
    4: [[(0.4, 0.18), (0.28, 0.55), (0.72, 0.55)], [(0.62, 0.3), (0.6, 0.86)]],
    7: [[(0.28, 0.24), (0.75, 0.22), (0.62, 0.5), (0.45, 0.82)]],
}  # fmt: skip


@pytest.fixture(scope="module")
def sets() -> tuple[Dataset, Dataset]:
    """Training and test set: MNIST's where it is present, else digits drawn by the package."""
    try:
        training, _, test = load_mnist(dtype=np.uint8, download=False)
        return training[:20_000], test
    except OSError:
        made = synthetic_digits(14_000, np.random.default_rng(0), np.uint8)
        return made[:4_000], made[4_000:]


@pytest.fixture(scope="module")
def dense(sets: tuple[Dataset, Dataset]) -> Network:
    net = Network([784, 30, 10], rng=0)
    for _ in net.sgd(sets[0], 6, 10, 0.5, lmbda=1.0, rng=1):
        pass
    return net


def convolutional(layers: tuple[Layer, ...], training: Dataset) -> Network:
    net = Network(layers, cost=log_likelihood, input_shape=(1, 28, 28), rng=0)
    for _ in net.sgd(training[:2_000], 1, 10, 0.05, rng=1):
        pass
    return net


@pytest.fixture(scope="module")
def conv(sets: tuple[Dataset, Dataset]) -> Network:
    net = convolutional(CONV_85_670, sets[0])
    assert net.n_parameters == 85_670
    return net


@pytest.fixture(scope="module")
def small_conv(sets: tuple[Dataset, Dataset]) -> Network:
    return convolutional(CONV_SMALL, sets[0])


HISTORY = History(
    epochs={
        "eta": [0.5, 0.5, 0.25],
        "seconds": [1.0, 1.0, 1.0],
        "validation_accuracy": [0.9, 0.95, 0.94],
        "validation_cost": [0.5, 0.3, 0.35],
    },
    best_epoch=1,
)


def record_of(html: str) -> dict[str, Any]:
    """Return what the page holds of a network."""
    found = re.search(r'<script type="application/json" id="record">(.*?)</script>', html)
    assert found is not None
    record: dict[str, Any] = json.loads(found[1])
    return record


# The file.


def test_the_page_is_one_file_that_asks_for_nothing(dense: Network) -> None:
    html = make_page(dense, "dense").html
    assert len(html.encode()) < LARGEST_PAGE
    assert not re.search(r"\b(src|href)=(?!\"data:,\")", html)
    assert not re.search(r"@import|url\(|\bimport\b\s*[({\"']|\beval\b|new Function", html)
    urls = set(re.findall(r"https?://[\w./-]+", html))
    assert urls == {"http://www.w3.org/2000/svg"}, "a name of SVG, which no browser fetches"
    assert "default-src 'none'" in html


def test_foreign_names_cannot_become_markup(dense: Network) -> None:
    html = make_page(dense, "</script><script>alert(1)</script>").html
    assert "alert(1)</script>" not in html
    assert ["Name", "</script><script>alert(1)</script>"] in record_of(html)["facts"]


def test_weights_that_do_not_fit_as_float32_are_stored_as_float16(
    sets: tuple[Dataset, Dataset],
) -> None:
    net = Network([784, 300, 10], rng=0)
    test = sets[1][:2000]
    page = make_page(net, "wide", test=test)
    assert page.number == "float16"
    assert len(page.html) <= LARGEST_PAGE
    rounded = net.astype(np.float32)
    for w in rounded.weights:
        w[...] = w.astype(np.float16)
    expected = np.flatnonzero(net.predict(test.images) != rounded.predict(test.images))
    assert page.differ is not None
    assert [index for index, _, _ in page.differ] == expected.tolist()


def test_labels_that_rounding_changes_are_named() -> None:
    net = Network([784, 300, 2], rng=0, cost=quadratic)
    for p in net.parameters:
        p[...] = 0
    net.weights[1][:, 0] = 1, 1.0001  # as float16, both are 1
    net.biases[0][...] = 1
    images = np.zeros((3, 784), np.uint8)
    page = make_page(net, "tie", test=Dataset(images, np.array([1, 1, 0]), "three"))
    assert page.differ == [(0, 1, 0), (1, 1, 0), (2, 1, 0)]
    facts = dict(record_of(page.html)["facts"])
    assert facts["Rounding"].startswith("changes the label of 3 of 3 images (image 0: 1 becomes 0")
    assert facts["Accuracy"] == "33.33 %: 1 of 3 images of three"


@pytest.mark.parametrize(
    ("net", "reason"),
    [
        (Network([100, 10], rng=0), r"28 x 28 pixels, so .* not \(100,\)"),
        (Network([Dense(10)], input_shape=(4, 14, 14), rng=0), r"not \(4, 14, 14\)"),
        (Network([784, 1000, 10], rng=0), "795,010 parameters .* choose a smaller network"),
    ],
)
def test_networks_that_the_page_cannot_hold_are_refused(net: Network, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        make_page(net, "net")


def test_layers_that_the_page_cannot_compute_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Network([784, 10], rng=0)
    record = describe(net)
    for layer, reason in (
        ({"kind": "recurrent"}, "not recurrent"),
        ({"kind": "max-pool", "size": 2, "stride": 3}, "max-pool layers with stride"),
    ):
        changed = record | {"layers": [layer, *record["layers"]]}
        monkeypatch.setattr("nndl.export.page.describe", lambda _, changed=changed: changed)
        with pytest.raises(ValueError, match=reason):
            make_page(net, "net")


def test_infinite_float16_weights_are_refused() -> None:
    net = Network([784, 300, 10], rng=0)
    net.weights[0][0, 0] = 1e5
    with pytest.raises(ValueError, match="too large for float16"):
        make_page(net, "net")


def decoded_film(film: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.int8]]:
    steps = np.frombuffer(zlib.decompress(base64.b64decode(film["weights"])), np.int8)
    steps = steps.reshape(len(film["epochs"]), film["neurons"], film["pixels"])
    return np.cumsum(steps, axis=0, dtype=np.int8)


def test_a_history_too_long_for_a_page_is_left_out_by_the_command(tmp_path: Path) -> None:
    net = Network([784, 3, 10], rng=0)
    history = History({"eta": [0.5] * 5001, "validation_accuracy": [0.9] * 5001}, ended="done")
    with pytest.raises(ValueError, match=r"at most 5,000 epochs, not 5,001: leave the history out"):
        make_page(net, "long", history=history)
    run = RunFolder(tmp_path)
    save(net, run.network_path)
    save_history(history, run.history_path)
    done = nndl(f"page {run.path} --data none --out {tmp_path / 'page.html'}")
    assert done.status == 0, done.err
    assert "shows no curves: 5,001 epochs are more than 5,000" in done.err
    assert '"history": null' in (tmp_path / "page.html").read_text()


def test_the_page_counts_the_parameters_that_it_has() -> None:
    layers = [Dense(5, identity), BatchNorm(relu), Dense(10)]
    net = Network(layers, input_shape=784, rng=0)
    folded = fold(net)
    assert folded.n_parameters < net.n_parameters
    assert f"{folded.n_parameters:,} weights and biases" in make_page(net, "folded").html


def test_weights_by_epoch_are_stored_to_one_percent_and_fit(rng: np.random.Generator) -> None:
    net = Network([784, 60, 10], rng=0)
    film = rng.normal(size=(200, 60, 784)).astype(np.float32)
    html = make_page(net, "film", history=HISTORY, weights_by_epoch=film).html
    assert len(html) <= LARGEST_PAGE
    stored = record_of(html)["film"]
    assert stored["epochs"][0] == 0
    assert stored["epochs"][-1] == 199
    assert stored["of"] == 60
    shown = film[stored["epochs"], : stored["neurons"]]
    largest = np.quantile(np.abs(shown), 0.999)
    expected = shown.clip(-1.27 * largest, 1.27 * largest)
    assert np.abs(decoded_film(stored) * (largest / 100) - expected).max() < 0.0051 * largest


# The command.


@pytest.fixture
def run(dense: Network, digits: Path, tmp_path: Path) -> RunFolder:
    """The folder of a run on a folder of small files."""
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    save(dense, folder.network_path)
    save_history(HISTORY, folder.history_path)
    folder.write_config(Config(data=str(digits)), "digits training")
    return folder


def test_the_command_writes_the_page_of_a_run(
    run: RunFolder, dense: Network, tmp_path: Path
) -> None:
    for epochs in range(4):
        keep_weights(run.weights_path, dense, epochs)
    out = tmp_path / "digits.html"
    done = nndl(f"page {run.path} --out {out}")
    assert (done.status, done.err) == (0, "")
    assert f"written to {out}: " in done.out
    assert done.out.count("\n") == 1  # float32 weights are not rounded
    record = record_of(out.read_text(encoding="utf-8"))
    assert record["test"]["n"] == 300
    assert record["history"]["epochs"]["validation_accuracy"] == [0.9, 0.95, 0.94]
    assert record["film"]["epochs"] == [0, 1, 2, 3]


def test_the_command_says_what_rounding_to_float16_changes(
    run: RunFolder, digits: Path, tmp_path: Path
) -> None:
    save(Network([784, 300, 10], rng=0), run.network_path)
    done = nndl(f"page {run.path} --data {digits} --out {tmp_path / 'digits.html'}")
    assert "rounding the weights to float16 changes the label of " in done.out
    assert " of 300 images of digits test" in done.out


def test_the_command_writes_the_page_of_a_file_without_a_test_set(
    run: RunFolder, tmp_path: Path
) -> None:
    out = tmp_path / "digits.html"
    assert nndl(f"page {run.network_path} --data none --out {out}").status == 0
    record = record_of(out.read_text(encoding="utf-8"))
    assert (record["test"], record["history"]) == (None, None)


def test_a_run_whose_data_is_gone_still_gets_a_page(run: RunFolder, tmp_path: Path) -> None:
    run.write_config(Config(data=str(tmp_path / "gone")), "mine training")
    out = tmp_path / "digits.html"
    done = nndl(f"page {run.path} --out {out}")
    assert done.status == 0
    assert "because its test set is unavailable: the data of the run in" in done.last
    assert record_of(out.read_text(encoding="utf-8"))["test"] is None


@pytest.mark.parametrize(
    ("flags", "status", "reason"),
    [
        ("{tmp}/none", 1, "must be the folder of a run"),
        ("{run} --data {tmp}/none", 1, "none is not there"),
        ("{run} --data none --out {run}/network.npz", 2, "belongs to the run"),
        ("{run} --data none --out {tmp}/none/digits.html", 1, "cannot write"),
    ],
)
def test_the_command_fails_in_one_line(
    flags: str, status: int, reason: str, run: RunFolder, tmp_path: Path
) -> None:
    done = nndl("page " + flags.format(tmp=tmp_path, run=run.path))
    assert done.status == status
    assert done.err.startswith("nndl page: error: ")
    assert reason in done.err
    assert done.err.count("\n") == 1


def test_without_a_run_the_network_of_the_package_is_taken(
    dense: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "digits.html"
    package = SimpleNamespace(pretrained=lambda: dense)
    monkeypatch.setitem(sys.modules, "nndl.pretrained", package)
    assert nndl(f"page --data none --out {out}").status == 0
    facts = dict(record_of(out.read_text(encoding="utf-8"))["facts"])
    assert facts["Name"] == "the network that comes with nndl"
    monkeypatch.setitem(sys.modules, "nndl.pretrained", None)  # an import of it fails
    done = nndl(f"page --data none --out {out}")
    assert done.status == 1
    assert "comes without a network: give the folder of a run" in done.last


def test_batch_norm_is_folded_into_the_page_and_its_labels_are_compared() -> None:
    layers = [Conv(3, 5, identity, pool=4), BatchNorm(relu), Dense(10)]
    net = Network(layers, input_shape=(1, 28, 28), rng=0)
    test = synthetic_digits(60, 1)
    net.update_mini_batch(test.images.T, test.labels, 0.5)
    for signs, kinds in [(1, ["conv", "dense"]), (-1, ["conv", "conv", "dense"])]:
        net.layers[1].w[0] *= signs
        page = make_page(net, "normalized", test=test)
        content = record_of(page.html)
        assert [layer["kind"] for layer in content["layers"]] == kinds
        assert page.differ == []
        assert content["test"]["correct"] == (net.predict(test.images) == test.labels).sum()


def test_what_the_page_cannot_compute_is_named() -> None:
    class Cosine(Activation):
        """An activation of a reader's own."""

    net = Network([Dense(12, Cosine()), Dense(10)], input_shape=784)
    with pytest.raises(
        ValueError, match=r"the page computes the activations sigmoid, .*not cosine"
    ):
        make_page(net, "cosine")
    net = Network([Dense(12, relu), BatchNorm(), Dense(10)], input_shape=784)
    with pytest.raises(ValueError, match="can be folded into a Dense layer with identity"):
        make_page(net, "normalized")


# In a browser.


class Browser:
    """A headless Chromium on one page at a time."""

    def __init__(self, driver: Any, folder: Path) -> None:
        self.driver, self.folder = driver, folder

    def open(self, html: str) -> None:
        path = self.folder / "digits.html"
        path.write_text(html, encoding="utf-8")
        self.driver.get(path.as_uri())
        self.wait("return window.nndl !== undefined")

    def run(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def wait(self, script: str) -> None:
        from selenium.webdriver.support.wait import WebDriverWait

        WebDriverWait(self.driver, 20, 0.02).until(lambda driver: driver.execute_script(script))

    def frame(self) -> None:
        """Wait until all that was asked for is shown."""
        self.driver.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))"
        )

    def __getitem__(self, name: str) -> Any:
        return self.driver.find_element("id", name)

    def draw(self, strokes: list[list[tuple[float, float]]]) -> None:
        """Draw by pointer events."""
        from selenium.webdriver.common.action_chains import ActionChains

        pad = self["pad"]
        side = pad.rect["width"]
        for stroke in strokes:
            chain = ActionChains(self.driver, duration=4)

            def move(x: float, y: float, chain: Any = chain) -> Any:
                where = (round((x - 0.5) * side), round((y - 0.5) * side))
                return chain.move_to_element_with_offset(pad, *where)

            move(*stroke[0]).click_and_hold()
            for (x, y), (next_x, next_y) in pairwise(stroke):
                for t in (0.25, 0.5, 0.75, 1):
                    move(x + t * (next_x - x), y + t * (next_y - y))
            chain.release().perform()
        self.frame()

    def color(self, canvas: str, x: int, y: int) -> list[int]:
        """Return red, green and blue of a pixel of a canvas, which a selector finds."""
        found: list[int] = self.run(
            "const copy = document.createElement('canvas').getContext('2d');"
            "copy.drawImage(document.querySelector(arguments[0]), 0, 0);"
            "return [...copy.getImageData(arguments[1], arguments[2], 1, 1).data.subarray(0, 3)]",
            canvas, x, y,
        )  # fmt: skip
        return found

    def image(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Return the 28 x 28 image on the page."""
        return np.array(self.run("return [...nndl.state.image]"), np.uint8)

    def emulate(self, **features: str) -> None:
        media = [{"name": n.replace("_", "-"), "value": v} for n, v in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    selenium = pytest.importorskip("selenium.webdriver", reason="needs selenium: nndl[browser]")
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        pytest.skip("needs chromium and chromedriver: apt-get install chromium chromium-driver")
    options = selenium.ChromeOptions()
    options.binary_location = programs[0]
    folder = tmp_path_factory.mktemp("browser")
    switches = (
        "headless=new no-sandbox disable-gpu disable-quic no-first-run "
        "disable-background-networking disable-component-update disable-sync "
        f"window-size=1280,1000 user-data-dir={folder / 'profile'}"
    )
    for switch in switches.split():
        options.add_argument(f"--{switch}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = selenium.ChromeService(programs[1])
    driver = selenium.Chrome(options, service)
    driver.set_script_timeout(120)
    yield Browser(driver, folder)
    driver.quit()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """A browser; a test fails if its page asks for anything or reports an error."""
    chromium.driver.get("about:blank")
    chromium.driver.get_log("browser")
    chromium.driver.get_log("performance")
    yield chromium
    assert [entry["message"] for entry in chromium.driver.get_log("browser")] == []
    events = [json.loads(e["message"])["message"] for e in chromium.driver.get_log("performance")]
    urls = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert urls, "the log should hold at least the page itself"
    assert [url for url in urls if not re.match(r"file:.*/digits\.html$|data:", url)] == []


def test_drawn_digits_are_read_as_python_reads_their_images(
    browser: Browser, dense: Network
) -> None:
    browser.open(make_page(dense, "dense").html)
    read = {}
    for digit, strokes in STROKES.items():
        browser["clear"].click()
        browser.draw(strokes)
        image = browser.image()
        read[digit] = int(browser["digit"].text)
        assert read[digit] == dense.predict(image[None])[0]
        numbers = [
            float(row.text.split()[-1]) for row in browser["bars"].find_elements("tag name", "li")
        ]
        np.testing.assert_allclose(numbers, dense(image[:, None] / 256)[:, 0], atol=0.00051)
    assert read == {digit: digit for digit in STROKES}


def test_the_page_may_not_connect_to_anything(chromium: Browser, dense: Network) -> None:
    chromium.open(make_page(dense, "dense").html)
    directive = chromium.driver.execute_async_script(
        "const done = arguments[0];"
        "addEventListener('securitypolicyviolation', (event) => done(event.effectiveDirective));"
        "fetch('http://127.0.0.1:9/').catch(() => {})"
    )
    assert directive == "connect-src"


def test_a_drawn_digit_is_centered_as_mnist_was(browser: Browser, dense: Network) -> None:
    browser.open(make_page(dense, "dense").html)
    small = [[(0.1 + 0.15 * x, 0.7 + 0.15 * y) for x, y in stroke] for stroke in STROKES[7]]
    images = []
    for strokes in (STROKES[7], small):
        browser["clear"].click()
        browser.draw(strokes)
        images.append(browser.image().reshape(28, 28).astype(float))
    for image in images:
        rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 in (20, 21, 22)
        pixel = np.arange(28)
        middle = np.array([image.sum(axis=1) @ pixel, image.sum(axis=0) @ pixel]) / image.sum()
        assert np.abs(middle - 14).max() <= 0.51
    browser["clear"].click()
    browser.draw([[(0.5, 0.1), (0.5, 0.9)]])
    assert browser.image().reshape(28, 28)[14].sum() / 255 == pytest.approx(2.6, abs=0.1)
    small_ink, large_ink = images[1].sum(), images[0].sum()
    assert small_ink == pytest.approx(large_ink, rel=0.1), "the pen is as wide for small digits"


def labels_on(browser: Browser, images: np.ndarray[Any, np.dtype[np.uint8]]) -> list[int]:
    """Return the labels that the page gives to images."""
    labels: list[int] = []
    for i in range(0, len(images), 1000):
        labels += browser.run(
            "const rows = nndl.bytes_from(arguments[0]), labels = [];"
            "for (let i = 0; i < rows.length; i += 784)"
            "  labels.push(nndl.network.predict(nndl.inputs_of(rows.subarray(i, i + 784))));"
            "return labels",
            base64.b64encode(images[i : i + 1000].tobytes()).decode(),
        )
    return labels


# The page reads a few hundred images a second with the 85,670 parameters of "conv".
@pytest.mark.parametrize(
    ("which", "n"), [("dense", 10_000), ("small_conv", 10_000), ("conv", 1_000)]
)
def test_the_page_gives_all_test_images_the_label_of_python(
    which: str,
    n: int,
    browser: Browser,
    sets: tuple[Dataset, Dataset],
    request: pytest.FixtureRequest,
) -> None:
    net: Network = request.getfixturevalue(which)
    page = make_page(net, which)
    assert page.number == "float32"
    browser.open(page.html)
    images = sets[1].images[:n]
    labels = labels_on(browser, images)
    assert len(labels) == n
    assert np.flatnonzero(labels != net.predict(images)).tolist() == []


def test_float16_weights_change_only_the_labels_that_the_page_names(
    browser: Browser, sets: tuple[Dataset, Dataset]
) -> None:
    net = Network([784, 300, 10], rng=0)
    for _ in net.sgd(sets[0][:4_000], 1, 10, 0.5, rng=1):
        pass
    page = make_page(net, "wide", test=sets[1])
    assert page.number == "float16"
    assert page.differ is not None
    assert len(page.differ) <= 5
    browser.open(page.html)
    expected = net.predict(sets[1].images)
    for index, _, label in page.differ:
        expected[index] = label
    assert np.flatnonzero(labels_on(browser, sets[1].images) != expected).tolist() == []


def test_float16_weights_are_decoded_exactly(browser: Browser) -> None:
    net = Network([784, 300, 10], rng=0)
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    net.weights[0].flat[: 2**16] = np.nan_to_num(every, nan=0, posinf=0, neginf=0)
    net.weights[0].flat[2**16 :] = 0
    browser.open(make_page(net, "every number of 16 bits").html)
    decoded = browser.run("return [...nndl.network.layers[0].w.subarray(0, 65536)]")
    np.testing.assert_array_equal(decoded, net.weights[0].flat[: 2**16])


NETS: dict[str, Callable[[], tuple[list[Any], Cost]]] = {
    "sigmoid": lambda: ([Dense(12, sigmoid), Dense(10)], cross_entropy),
    "tanh": lambda: ([Dense(12, tanh), Dense(10)], cross_entropy),
    "scaled-tanh": lambda: ([Dense(12, scaled_tanh), Dense(10)], cross_entropy),
    "relu": lambda: ([Dense(12, relu), Dense(10)], cross_entropy),
    "leaky-relu": lambda: (
        [Dense(12, leaky_relu), Dense(12, LeakyReLU(0.3)), Dense(10)],
        cross_entropy,
    ),
    "identity": lambda: ([Dense(12, identity), Dense(10)], cross_entropy),
    "softmax": lambda: ([Dense(12, softmax), Dense(10)], cross_entropy),
    "dropout": lambda: ([Dense(12), Dropout(0.3), Dense(10)], cross_entropy),
    "conv": lambda: ([Conv(3, 5, tanh, 2), Conv(4, 3, sigmoid), Dense(10)], cross_entropy),
    "max-pool": lambda: ([Conv(3, 5), MaxPool(4), Dense(10)], cross_entropy),
    "padding": lambda: ([Conv(3, 5, padding=2), Conv(3, 3, padding=1), Dense(10)], cross_entropy),
    "stride": lambda: ([Conv(3, 4, stride=3), Conv(3, 2, stride=2), Dense(10)], cross_entropy),
    "stride, padding, pools that leave a rest": lambda: (
        [Conv(3, 5, pool=3, padding=1, stride=2), MaxPool(3), Dense(10)],
        cross_entropy,
    ),
    "quadratic": lambda: ([Dense(10)], quadratic),
    "quadratic, tanh outputs": lambda: ([Dense(10, tanh)], quadratic),
    "quadratic, softmax outputs": lambda: ([Dense(10, softmax)], quadratic),
    "log-likelihood": lambda: ([Dense(10, softmax)], log_likelihood),
    "log-likelihood, sigmoid outputs": lambda: ([Dense(10)], log_likelihood),
    "cross-entropy, softmax outputs": lambda: ([Dense(10, softmax)], cross_entropy),
}


def test_every_layer_activation_and_cost_of_the_package_is_compared_below() -> None:
    built = [make() for make in NETS.values()]
    layers = [layer for layers, _ in built for layer in layers]
    assert {cost for _, cost in built} == set(COSTS.values())
    activations = {layer.activation for layer in layers if hasattr(layer, "activation")}
    assert activations >= set(ACTIVATIONS.values())
    assert {type(layer) for layer in layers} == {Dense, Dropout, Conv, MaxPool}


@pytest.mark.parametrize("name", NETS)
def test_outputs_and_pixel_gradients_are_those_of_the_network(
    name: str, browser: Browser, rng: np.random.Generator
) -> None:
    layers, cost = NETS[name]()
    net = Network(layers, cost=cost, input_shape=(1, 28, 28), rng=0)
    exact = net.astype(np.float64)
    browser.open(make_page(net, name).html)
    image = rng.integers(0, 256, 784).astype(np.uint8)
    browser.run("nndl.image = nndl.inputs_of(arguments[0])", image.tolist())
    a = browser.run("return [...nndl.network.feedforward(nndl.image)]")
    x = image[:, None] / 256
    np.testing.assert_allclose(a, exact(x)[:, 0], rtol=2e-5, atol=2e-6)
    y = np.eye(10)[:, [3]]

    def cost_of(x: np.ndarray[Any, np.dtype[np.float64]]) -> Any:
        z, a = exact.outputs(x)
        return exact.cost.value(z, a, np.repeat(y, x.shape[1], axis=1), exact.output.activation)

    pixels, h = rng.choice(784, 40, replace=False), 1e-6
    steps = np.zeros((784, 40))
    steps[pixels, np.arange(40)] = h
    differences = (cost_of(x + steps) - cost_of(x - steps)) / (2 * h)
    gradient = np.array(browser.run("return [...nndl.network.pixel_gradient(3)]"))
    scale = np.abs(gradient).max()
    assert scale > 1e-6
    np.testing.assert_allclose(gradient[pixels], differences, atol=2e-4 * scale)


@pytest.mark.parametrize(("which", "least"), [("dense", 60), ("conv", 20)])
def test_readings_are_as_fast_as_the_screen(
    which: str, least: int, browser: Browser, request: pytest.FixtureRequest
) -> None:
    browser.open(make_page(request.getfixturevalue(which), which).html)
    browser.draw(STROKES[3])
    rates = [
        browser.run(
            "const start = performance.now();"
            "for (let i = 0; i < 40; i++) nndl.update();"
            "return 40_000 / (performance.now() - start)"
        )
        for _ in range(5)
    ]
    print(f"{which}: {max(rates):.0f} readings a second")
    assert max(rates) > least


def test_a_digit_is_drawn_by_keyboard_alone(browser: Browser, dense: Network) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    browser.open(make_page(dense, "dense").html)
    ActionChains(browser.driver).send_keys(Keys.TAB).perform()
    pad = browser.driver.switch_to.active_element
    assert pad.get_attribute("id") == "pad"
    pad.send_keys(*[Keys.ARROW_UP] * 14, Keys.SPACE, *[Keys.ARROW_DOWN] * 28, Keys.SPACE)
    browser.frame()
    assert browser["digit"].text == "1"
    browser.wait("return document.getElementById('status').textContent.startsWith('This is a 1.')")
    pad.send_keys(Keys.BACKSPACE)
    browser.frame()
    assert browser["digit"].text == "?"
    pad.send_keys(Keys.SPACE, Keys.ARROW_LEFT, Keys.ESCAPE)
    browser.frame()
    assert browser.run("return nndl.state.strokes.length") == 0
    reached = []
    for _ in range(20):
        ActionChains(browser.driver).send_keys(Keys.TAB).perform()
        reached.append(browser.run("return document.activeElement.textContent"))
    assert [text[0] for text in reached if re.match(r"\d–", text)] == list("0123456789")


def test_a_stroke_that_is_taken_away_while_it_is_drawn_has_ended(
    browser: Browser, dense: Network
) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    browser.open(make_page(dense, "dense").html)
    pad = browser["pad"]
    for key, left in ((Keys.ESCAPE, 0), (Keys.BACKSPACE, 1)):
        browser.draw([[(0.2, 0.2), (0.3, 0.3)]])
        chain = ActionChains(browser.driver, duration=4)
        chain.move_to_element_with_offset(pad, 0, 0).click_and_hold().send_keys(key)
        chain.move_to_element_with_offset(pad, 40, 40).release().perform()
        browser.frame()
        strokes = browser.run("return nndl.state.strokes")
        assert len(strokes) == left
        assert all(max(point) < 300 for stroke in strokes for point in stroke)


@pytest.mark.parametrize("ink", [0, 255])
def test_ink_on_a_transparent_ground_is_read(
    ink: int, browser: Browser, dense: Network, tmp_path: Path
) -> None:
    browser.open(make_page(dense, "dense").html)
    picture = Image.new("RGBA", (400, 400), (ink, ink, ink, 0))
    pen = ImageDraw.Draw(picture)
    for stroke in STROKES[3]:
        points = [(50 + 300 * x, 50 + 300 * y) for x, y in stroke]
        pen.line(points, fill=(ink, ink, ink, 255), width=30, joint="curve")
    picture.save(tmp_path / "three.png")
    browser["file"].send_keys(str(tmp_path / "three.png"))
    browser.wait("return document.getElementById('words').textContent.includes('three.png')")
    assert browser["digit"].text == "3"


def photograph(strokes: list[list[tuple[float, float]]], width: int, path: Path) -> None:
    """Draw a digit with a pen of some width on paper lit unevenly, with a line at the edge."""
    y, x = np.mgrid[0:600, 0:800]
    paper = 200 - 60 * (x / 800) - 30 * (y / 600)
    noise = np.random.default_rng(0).normal(0, 3, paper.shape)
    picture = Image.fromarray((paper + noise).clip(0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    for stroke in strokes:
        points = [(250 + 300 * x, 150 + 300 * y) for x, y in stroke]
        pen.line(points, fill=60, width=width, joint="curve")
    pen.line([(0, 40), (800, 30)], fill=70, width=6)
    picture.save(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_photograph_is_read(
    suffix: str, browser: Browser, dense: Network, tmp_path: Path
) -> None:
    browser.open(make_page(dense, "dense").html)
    for digit, width in ((2, 9), (3, 40), (7, 22)):
        photograph(STROKES[digit], width, tmp_path / f"{digit}.{suffix}")
        browser["file"].send_keys(str(tmp_path / f"{digit}.{suffix}"))
        browser.wait(
            f"return document.getElementById('words').textContent.includes('{digit}.{suffix}')"
        )
        assert browser["digit"].text == str(digit)
        image = browser.image().reshape(28, 28)
        assert np.ptp(np.flatnonzero(image.any(axis=1))) + 1 in (19, 20, 21)
        assert image.max() == 255


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_picture_is_dropped_or_pasted(
    way: str, browser: Browser, dense: Network, tmp_path: Path
) -> None:
    browser.open(make_page(dense, "dense").html)
    photograph(STROKES[3], 22, tmp_path / "three.png")
    browser.run(
        "const files = new DataTransfer();"
        "files.items.add(new File([nndl.bytes_from(arguments[1])], 'three.png'));"
        "dispatchEvent(arguments[0] === 'drop'"
        "  ? new DragEvent('drop', { dataTransfer: files, cancelable: true })"
        "  : new ClipboardEvent('paste', { clipboardData: files }))",
        way,
        base64.b64encode((tmp_path / "three.png").read_bytes()).decode(),
    )
    browser.wait("return document.getElementById('words').textContent.includes('three.png')")
    assert browser["digit"].text == "3"


def test_pictures_that_hold_no_digit_are_explained(
    browser: Browser, dense: Network, tmp_path: Path
) -> None:
    browser.open(make_page(dense, "dense").html)
    Image.new("L", (300, 300), 190).save(tmp_path / "empty.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG no more")
    for name, reason in (("empty", "Nothing in this picture"), ("broken", "is not a picture that")):
        browser["file"].send_keys(str(tmp_path / f"{name}.png"))
        browser.wait(f"return document.getElementById('words').textContent.includes('{reason}')")
        assert browser["digit"].text == "?"


def test_a_mistake_is_shown_with_its_reading(
    browser: Browser, dense: Network, sets: tuple[Dataset, Dataset]
) -> None:
    test = sets[1]
    page = make_page(dense, "dense", test=test)
    browser.open(page.html)
    mistakes = record_of(page.html)["test"]["mistakes"]
    buttons = browser["gallery"].find_elements("tag name", "button")
    assert len(buttons) == len(mistakes["index"]) > 0
    for k in (0, len(buttons) - 1):
        browser.run("arguments[0].click()", buttons[k])
        browser.frame()
        index = mistakes["index"][k]
        np.testing.assert_array_equal(browser.image(), test.images[index])
        assert int(browser["digit"].text) == mistakes["read"][k] != test.labels[index]
        assert f"Test image {index:,} shows" in browser["words"].text


def test_the_slider_goes_through_training(browser: Browser, dense: Network) -> None:
    film = np.zeros((4, 30, 784), np.float32)
    film[2, 0] = 1
    film[3, 0] = -1
    page = make_page(dense, "dense", history=HISTORY, weights_by_epoch=film)
    browser.open(page.html)
    assert browser["epoch-label"].text == "After epoch 3 of 3"

    seen = {}
    for epoch in range(4):
        browser.run(
            "const slider = document.getElementById('epoch'); slider.value = arguments[0];"
            "slider.dispatchEvent(new Event('input'))",
            epoch,
        )
        seen[epoch] = (browser["epoch-numbers"].text, browser.color("#film-weights canvas", 9, 9))
    assert seen[0] == ("The weights are random.", [255, 255, 255])
    assert seen[2] == ("validation accuracy 95.00 %, the best epoch", [29, 95, 180])
    assert seen[3] == ("validation accuracy 94.00 %", [182, 74, 14])
    assert browser.run("return document.querySelectorAll('#charts svg[role=img]').length") == 2
    browser.run("document.getElementById('play').click()")
    browser.wait("return document.getElementById('epoch').value === '1'")
    browser.wait("return document.getElementById('epoch').value === '3'")
    browser.wait("return document.getElementById('play').textContent === 'Play'")


def test_a_chosen_digit_and_neuron_are_explained(browser: Browser, dense: Network) -> None:
    browser.open(make_page(dense, "dense").html)
    browser.draw(STROKES[7])
    assert browser["evidence-title"].text == "For and against 7"
    browser["bars"].find_elements("tag name", "button")[2].click()
    browser.run("document.querySelector('#layers .tile').click()")
    browser.frame()
    assert browser["evidence-title"].text == "For and against 2"
    x = browser.image()[:, None] / 256
    z = float((dense.weights[0] @ x + dense.biases[0])[0, 0])
    found = browser["neuron"].text.replace("−", "-")
    assert f"z = w · x + b = {z:.2f} and a = sigmoid(z)" in found


SHADES = """
const luminance = (color) => {
  const [r, g, b] = color.match(/[\\d.]+/g).map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (node) => {
  for (; node; node = node.parentElement) {
    const color = getComputedStyle(node).backgroundColor;
    if (!/, 0\\)$/.test(color)) return color;
  }
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim() || !node.offsetParent || node.closest("svg")) continue;
  const pair = [getComputedStyle(node).color, behind(node)].map(luminance).sort((a, b) => b - a);
  found.push([(pair[0] + 0.05) / (pair[1] + 0.05), node.textContent.trim().slice(0, 40)]);
}
return found;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_texts_have_the_contrast_of_wcag_aa(
    scheme: str, browser: Browser, dense: Network, sets: tuple[Dataset, Dataset]
) -> None:
    browser.emulate(prefers_color_scheme=scheme)
    browser.open(make_page(dense, "dense", test=sets[1][:2000], history=HISTORY).html)
    browser.draw(STROKES[3])
    found = browser.run(SHADES)
    browser.emulate()
    assert len(found) > 60
    assert [(ratio, text) for ratio, text in found if ratio < 4.5] == []


def test_pictures_follow_a_change_to_dark(browser: Browser, dense: Network) -> None:
    browser.emulate(prefers_color_scheme="light")
    browser.open(make_page(dense, "dense").html)
    assert browser.color("#seen", 0, 0) == [255, 255, 255]
    browser.emulate(prefers_color_scheme="dark")
    browser.frame()
    assert browser.color("#seen", 0, 0) == [27, 29, 33]
    browser.emulate()


def test_the_page_fits_a_phone_and_keeps_still_where_asked(
    browser: Browser, dense: Network, conv: Network, sets: tuple[Dataset, Dataset]
) -> None:
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    browser.emulate(prefers_reduced_motion="reduce")
    try:
        for net in (dense, conv):
            page = make_page(net, "phone", test=sets[1][:2000], history=HISTORY)
            browser.open(page.html)
            assert browser.run("return document.documentElement.scrollWidth") == 360
            assert browser["pad"].rect["width"] > 300
            sizes = browser.run(
                "return [...document.querySelectorAll('p, button, label, figcaption, dd')]"
                ".map((e) => parseFloat(getComputedStyle(e).fontSize))"
            )
            assert min(sizes) >= 13
            animated = browser.run(
                "return [...document.querySelectorAll('*')].filter((e) => "
                "parseFloat(getComputedStyle(e).transitionDuration) > 0).length"
            )
            assert animated == 0
    finally:
        browser.emulate()
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_digit_is_drawn_by_finger(browser: Browser, dense: Network) -> None:
    send = browser.driver.execute_cdp_cmd
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    send("Emulation.setDeviceMetricsOverride", phone)
    send("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        browser.open(make_page(dense, "dense").html)
        assert browser["camera-label"].is_displayed()
        place = browser.run(
            "const { x, y, width } = document.getElementById('pad').getBoundingClientRect();"
            "return [x, y, width]"
        )
        for i, (x, y) in enumerate(STROKES[7][0]):
            point = {"x": place[0] + x * place[2], "y": place[1] + y * place[2]}
            kind = "touchMove" if i else "touchStart"
            send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
        send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        browser.frame()
        assert browser["digit"].text == "7"
        assert browser.run("return scrollY") == 0, "the finger draws, and does not scroll"
    finally:
        send("Emulation.setTouchEmulationEnabled", {"enabled": False})
        send("Emulation.clearDeviceMetricsOverride", {})


def test_every_control_has_a_name(
    browser: Browser, dense: Network, sets: tuple[Dataset, Dataset]
) -> None:
    page = make_page(dense, "dense", test=sets[1][:2000], history=HISTORY)
    browser.open(page.html)
    tree = browser.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    controls = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in tree
        if not node["ignored"]
        and node["role"]["value"] in ("button", "slider", "radio", "image", "application")
    ]
    assert len(controls) > 60
    assert [role for role, name in controls if not name.strip()] == []
