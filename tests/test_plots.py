"""Plots: what is drawn, what is refused, and how files are written."""

from __future__ import annotations

import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from nndl import plots
from nndl.training import History

RUN = {
    "training_cost": [0.9, 0.5, 0.3, 0.2],
    "training_accuracy": [0.90, 0.95, 0.97, 0.99],
    "validation_cost": [0.8, 0.6, 0.5, 0.7],
    "validation_accuracy": [0.91, 0.94, 0.93, 0.94],
    "eta": [0.5, 0.5, 0.5, 0.25],
}
IMAGES = np.random.default_rng(0).random((7, 16))


def figure(width: float = 8, height: float = 4) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def axes() -> Axes:
    return figure().add_subplot()


def lines(ax: Axes, dashes: str) -> list[np.ndarray]:
    return [line.get_xydata() for line in ax.get_lines() if line.get_linestyle() == dashes]


def legend(owner: Axes | Figure) -> list[str]:
    found = owner.legends[0] if isinstance(owner, Figure) else owner.get_legend()
    return [text.get_text() for text in found.get_texts()]


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def png(fig: Figure) -> np.ndarray:
    """Return the pixels, (height, width, 3), drawn at the size that is saved."""
    file = BytesIO()
    fig.savefig(file, dpi=100)
    file.seek(0)
    return matplotlib.image.imread(file)[:, :, :3]


def assert_within(fig: Figure, box: Bbox) -> None:
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= fig.bbox.x1
    assert box.y1 <= fig.bbox.y1


# Curves.


def test_curves_have_epochs_from_0_and_accuracy_in_percent() -> None:
    ax = axes()
    plots.plot_curves({"a": RUN}, "accuracy", ax=ax)
    (training,), (validation,) = lines(ax, "--"), lines(ax, "-")
    np.testing.assert_array_equal(training, [(0, 90), (1, 95), (2, 97), (3, 99)])
    np.testing.assert_array_equal(validation, [(0, 91), (1, 94), (2, 93), (3, 94)])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "accuracy (%)")
    ax = axes()
    plots.plot_curves({"a": RUN}, "cost", ax=ax)
    np.testing.assert_array_equal(lines(ax, "-")[0][:, 1], RUN["validation_cost"])
    assert ax.get_ylabel() == "cost"


@pytest.mark.parametrize(("quantity", "height"), [("accuracy", 94), ("cost", 0.6)])
def test_a_ring_marks_the_first_epoch_of_the_best_validation_accuracy(
    quantity: str, height: float
) -> None:
    ax = axes()
    plots.plot_curves({"a": RUN}, quantity, ax=ax)
    (ring,) = lines(ax, "None")
    np.testing.assert_array_equal(ring, [(1, height)])
    assert legend(ax) == ["a\nbest 94.00 % in epoch 1", "training", "validation", "best epoch"]


def test_without_accuracies_the_ring_marks_the_lowest_validation_cost() -> None:
    ax = axes()
    plots.plot_curves({"a": {"validation_cost": RUN["validation_cost"]}}, "cost", ax=ax)
    np.testing.assert_array_equal(lines(ax, "None")[0], [(2, 0.5)])


def test_the_test_set_is_dotted_and_without_validation_there_is_no_ring() -> None:
    ax = axes()
    plots.plot_curves({"a": {"test_accuracy": [0.5, 0.6]}}, "accuracy", ax=ax)
    assert len(lines(ax, ":")) == len(ax.get_lines()) == 1
    assert legend(ax) == ["a", "test"]


def test_drawing_can_start_at_a_later_epoch() -> None:
    ax = axes()
    plots.plot_curves({"a": RUN, "short": {"training_cost": [9.0, 9.0]}}, "cost", first=2, ax=ax)
    np.testing.assert_array_equal(lines(ax, "-")[0], [(2, 0.5), (3, 0.7)])
    assert not lines(ax, "None")
    assert "best epoch" not in legend(ax)
    assert ax.get_ylim()[1] < 1  # the range ignores earlier epochs


def test_runs_differ_in_color_and_in_marker() -> None:
    ax = axes()
    runs = {f"run {i}": {"training_cost": [float(i)] * 3} for i in range(20)}
    plots.plot_curves(runs, "cost", ax=ax)
    looks = {(line.get_color(), line.get_marker()) for line in ax.get_lines()}
    assert len(looks) == 20
    assert len({marker for _, marker in list(looks)}) == 8


def test_markers_of_different_runs_are_at_different_epochs() -> None:
    ax = axes()
    plots.plot_curves({name: {"test_cost": [1.0] * 64} for name in "abcd"}, "cost", ax=ax)
    marked = [set(range(*line.get_markevery()[:1], 64, 8)) for line in ax.get_lines()]
    assert len(set.union(*marked)) == sum(map(len, marked)) == 32


def test_a_single_epoch_is_visible(tmp_path: Path) -> None:
    run = {key: values[:1] for key, values in RUN.items()}
    fig = figure()
    plots.plot_learning_curves({"a": run | {"test_accuracy": [0.9], "test_cost": [0.85]}}, fig=fig)
    pixels = png(fig)
    blue = np.abs(pixels - matplotlib.colors.to_rgb(plots.COLORS[0])).max(axis=2) < 0.05
    right = slice(pixels.shape[1] // 2, None)
    above_the_legend = slice(0, int(0.7 * len(pixels)))
    assert blue[above_the_legend, right].sum() > 20
    labels = [label.get_text() for label in fig.axes[0].get_xticklabels()]
    assert labels.count("0") == 1
    assert all(float(label.replace("−", "-")).is_integer() for label in labels)


@pytest.mark.parametrize("n", [3, 40])
def test_a_long_legend_leaves_the_curves_their_height(n: int) -> None:
    runs = {f"a run with a long name, {i}": RUN for i in range(n)}
    norms = {f"layer {i}": [1.0, 2.0] for i in range(n)}
    figures = (
        plots.plot_learning_curves(runs, "title"),
        plots.plot_curves(runs, "cost"),
        plots.plot_gradient_norms(norms),
    )
    for fig in figures:
        fig.draw_without_rendering()
        height = fig.get_figheight()
        for ax in fig.axes:
            assert height * ax.get_position().height > 2
        legends = [*fig.legends, *(legend for ax in fig.axes if (legend := ax.get_legend()))]
        for legend in legends:
            box = legend.get_window_extent()
            assert 0 <= box.y0 < box.y1 <= fig.bbox.height


def test_an_overflow_while_drawing_is_not_reported(tmp_path: Path) -> None:
    fig = plots.plot_curves({"a": RUN}, "cost")
    large = np.float32(3e38)
    fig.axes[0].yaxis.set_major_formatter(lambda value, _: str(large * large))
    plots.save(fig, tmp_path / "a.png")


def test_learning_curves_draw_the_quantities_that_exist() -> None:
    fig = figure()
    only_cost = {"training_cost": [3.0, 2.0]}
    plots.plot_learning_curves({"all": RUN, "cost": only_cost}, title="MNIST", fig=fig)
    accuracy, cost = fig.axes
    assert (accuracy.get_ylabel(), cost.get_ylabel()) == ("accuracy (%)", "cost")
    assert (len(lines(accuracy, "--")), len(lines(cost, "--"))) == (1, 2)
    assert legend(fig)[:2] == ["all: best 94.00 % in epoch 1", "cost"]
    assert fig.get_suptitle() == "MNIST"
    fig = figure()
    plots.plot_learning_curves({"cost": only_cost}, fig=fig)
    assert [ax.get_ylabel() for ax in fig.axes] == ["cost"]


@pytest.mark.parametrize("draw", ["beside", "below"])
def test_a_legend_is_inside_the_figure_and_covers_no_axes(draw: str) -> None:
    long = "_results/$runs$/" + "long-" * 20
    runs = {f"{long}{i}": {k: [v] * 30 for k, v in (("test_accuracy", 0.9),)} for i in range(3)}
    fig = figure()
    if draw == "beside":
        plots.plot_curves(runs, "accuracy", ax=fig.add_subplot())
    else:
        plots.plot_learning_curves(runs, fig=fig)
    fig.draw_without_rendering()
    box = (fig.axes[0].get_legend() or fig.legends[0]).get_window_extent()
    assert not box.overlaps(fig.axes[0].get_window_extent())
    assert fig.axes[0].get_window_extent().height > 100
    assert_within(fig, box)
    shown = legend(fig.axes[0] if draw == "beside" else fig)[0].replace("\n", "")
    assert shown.strip() == f"{long}0".replace("$", r"\$")


def test_gradient_norms_are_on_a_log_axis() -> None:
    ax = axes()
    plots.plot_gradient_norms({"layer 1": [1e-3, 1e-4], "layer 2": [0.1, 0.2]}, ax=ax)
    assert ax.get_yscale() == "log"
    np.testing.assert_array_equal(lines(ax, "-")[0], [(0, 1e-3), (1, 1e-4)])
    assert legend(ax) == ["layer 1", "layer 2"]


# Grids.


def test_digits_are_square_and_dark_on_light() -> None:
    image = np.zeros((1, 16), np.uint8)
    image[0, 0] = 255  # ink in the upper left corner
    fig = plots.plot_digits(image, columns=1)
    assert np.allclose(fig.get_size_inches(), 8)
    pixels = png(fig)
    assert pixels[100, 100].max() < 0.1
    assert pixels[100, -100].min() == 1
    assert pixels[-100, 100].min() == 1


def test_uint8_and_floats_look_the_same() -> None:
    raw = np.arange(0, 256, 17, dtype=np.uint8).reshape(1, 16)
    first, second = figure(), figure()
    plots.plot_digits(raw, fig=first)
    plots.plot_digits(raw / np.float32(255), fig=second)
    drawn = [fig.axes[0].images[0].get_array() for fig in (first, second)]
    np.testing.assert_allclose(*drawn, rtol=1e-6)


def test_a_grid_fills_its_rows_and_chooses_the_height() -> None:
    one = plots.plot_digits(IMAGES[:5], columns=5)
    captions = [f"digit {i}" for i in range(7)]
    two = plots.plot_digits(IMAGES, captions, columns=5, title="seven")
    assert one.get_figwidth() == two.get_figwidth() == 8
    assert two.get_figheight() > 2 * one.get_figheight()
    (ax,) = two.axes
    assert texts(ax) == [f"digit {i}" for i in range(7)]
    assert two.get_suptitle() == "seven"
    corners = [(image.get_extent()[0], image.get_extent()[3]) for image in ax.images]
    assert len(set(corners)) == 7
    assert len({y for _, y in corners}) == 2
    assert ax.get_xlim()[1] == max(x for x, _ in corners) + 1


def test_a_mistake_has_the_true_label_upper_right_and_the_predicted_one_lower_right() -> None:
    fig = plots.plot_mistakes(IMAGES[:2], [4, 1], [9, 7], [0.987, 0.5], title="MNIST test")
    (ax,) = fig.axes
    place = {text.get_text(): text for text in ax.texts}
    assert sorted(place) == ["0.50", "0.99", "1", "4", "7", "9"]
    for image, true, predicted in zip(ax.images, "41", "97", strict=True):
        _, right, bottom, top = image.get_extent()
        assert place[true].get_position()[0] == place[predicted].get_position()[0] > right
        assert (place[true].get_position()[1], place[predicted].get_position()[1]) == (top, bottom)
    assert place["4"].get_color() != place["9"].get_color()
    words = " ".join(text.get_text() for text in fig.texts)
    for key in (
        "upper right: true label",
        "lower right: predicted label",
        "confidence",
        "MNIST test",
    ):
        assert key in words


def test_outputs_are_beside_the_photograph_and_the_network_input() -> None:
    outputs = np.array([[0.1, 0.9], [0.6, -0.2]])
    photographs = [np.full((5, 9), 0.5), np.full((8, 3), 0.7)]
    fig = plots.plot_outputs(photographs, IMAGES[:2], outputs)
    rows = np.reshape(np.array(fig.axes, object), (2, 3))
    for row, picture, image, output in zip(rows, photographs, IMAGES, outputs, strict=False):
        np.testing.assert_array_equal(row[0].images[0].get_array(), picture)
        np.testing.assert_array_equal(row[1].images[0].get_array().ravel(), image)
        bars = row[2].patches
        assert [bar.get_height() for bar in bars] == list(output)
        best = int(output.argmax())
        assert bars[best].get_facecolor() != bars[1 - best].get_facecolor()
        low, high = row[2].get_ylim()
        assert low <= output.min()
        assert high >= 1


def test_labels_of_mistakes_overlap_no_picture_and_no_other_label() -> None:
    images = np.tile(IMAGES, (3, 1))
    fig = plots.plot_mistakes(images, [8] * 21, [0] * 21, [0.88] * 21, title="T")
    fig.draw_without_rendering()
    boxes = [artist.get_window_extent() for artist in (*fig.axes[0].texts, *fig.texts)]
    boxes += [image.get_window_extent() for image in fig.axes[0].images]
    for i, box in enumerate(boxes):
        assert_within(fig, box)
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])


def test_without_mistakes_the_figure_says_so(tmp_path: Path) -> None:
    none: list[int] = []
    fig = plots.plot_mistakes(IMAGES[:0], none, none, none)
    plots.save(fig, tmp_path / "none.png")
    assert [text.get_text() for text in fig.texts] == ["no mistakes"]


def test_weights_share_one_scale_with_0_in_the_middle() -> None:
    fig = figure()
    w = np.random.default_rng(0).normal(0.1, 1, (30, 784)).astype(np.float32)
    plots.plot_weights(w, fig=fig)
    ax, bar = fig.axes
    assert bar.get_label() == "<colorbar>"
    limits = {image.get_clim() for image in ax.images}
    assert len(ax.images) == 30
    assert len(limits) == 1
    low, high = limits.pop()
    assert low == -high
    assert (np.abs(w) > high).mean() == pytest.approx(0.005, rel=0.05)
    np.testing.assert_array_equal(ax.images[3].get_array(), w[3].reshape(28, 28))
    assert ax.images[0].cmap(0.5)[:3] == pytest.approx((0.97,) * 3, abs=0.01)


def test_filters_are_gray_and_whiter_is_smaller() -> None:
    fig = figure()
    plots.plot_weights(np.arange(-100.0, 400).reshape(20, 25), gray=True, fig=fig)
    image = fig.axes[0].images[0]
    assert image.get_clim() == (-100, 399)
    assert sum(image.cmap(0.0)[:3]) == 3
    assert sum(image.cmap(1.0)[:3]) == 0


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_weights_are_drawn(value: float, gray: bool) -> None:
    fig = figure()
    plots.plot_weights(np.full((2, 9), value), gray=gray, fig=fig)
    png(fig)
    if not gray:  # white is 0 even if all are 0
        assert fig.axes[0].images[0].get_clim() == (-1, 1)


def test_a_single_nonzero_weight_sets_the_scale() -> None:
    fig = figure()
    w = np.zeros((10, 784))
    w[0, 0] = 0.5
    plots.plot_weights(w, fig=fig)
    assert fig.axes[0].images[0].get_clim() == (-0.5, 0.5)


def test_the_colors_of_a_confusion_matrix_count_mistakes_only() -> None:
    ax = axes()
    plots.plot_confusion([[900, 8, 0], [1, 800, 0], [0, 2, 0]], ax=ax)
    (image,) = ax.images
    assert image.get_clim() == (0, 8)
    np.testing.assert_array_equal(image.get_array().mask, np.eye(3, dtype=bool))
    words = {text.get_position(): text.get_text() for text in ax.texts}
    # x is the predicted label, y the true one; a mistake that never happened is left empty.
    assert words == {
        (0, 0): "900",
        (1, 0): "8",
        (0, 1): "1",
        (1, 1): "800",
        (1, 2): "2",
        (2, 2): "0",
    }
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted label", "true label")
    assert ax.get_aspect() == 1


def test_a_confusion_matrix_without_mistakes_or_of_one_label_is_drawn() -> None:
    for matrix in (np.diag([3, 4]), [[5]]):
        ax = axes()
        plots.plot_confusion(matrix, ax=ax)
        png(ax.figure)


# Invalid arguments.

BAD: dict[str, tuple[Any, str]] = {
    "quantity": (
        lambda: plots.plot_curves({"a": RUN}, "speed"),
        r"one of \['accuracy', 'cost'\], not 'speed'",
    ),
    "no such epochs": (
        lambda: plots.plot_curves({"a": {"eta": [1.0]}}, "cost"),
        r"epoch 0 of cost: .* \{'a': \{'eta': 1\}\}",
    ),
    "first too late": (lambda: plots.plot_curves({"a": RUN}, "cost", first=4), "epoch 4"),
    "first negative": (lambda: plots.plot_curves({"a": RUN}, "cost", first=-1), "epoch -1"),
    "percent": (
        lambda: plots.plot_curves({"a": {"test_accuracy": [50.0, 97.5]}}, "accuracy"),
        r"test_accuracy of 'a' must be fractions .* from 50 to 97.5",
    ),
    "infinite": (
        lambda: plots.plot_curves({"a": {"test_cost": [1.0, np.inf]}}, "cost"),
        r"test_cost of 'a' must be finite numbers.* not \[1.0, inf\]",
    ),
    "no runs": (lambda: plots.plot_learning_curves({}), "unlike an empty mapping"),
    "a run without epochs": (
        lambda: plots.plot_learning_curves({"a": RUN, "b": {"test_cost": []}}),
        r"unlike \['b'\]",
    ),
    "no norms": (lambda: plots.plot_gradient_norms({}), "one layer or more"),
    "a norm of 0": (
        lambda: plots.plot_gradient_norms({"one": [0.1, 0.0]}),
        "above 0, but 'one' has 0",
    ),
    "one image": (lambda: plots.plot_digits(IMAGES[0]), r"\(n, side \* side\).*\(16,\)"),
    "not square": (lambda: plots.plot_digits(IMAGES[:, 1:]), r"not \(7, 15\)"),
    "no images": (lambda: plots.plot_digits(IMAGES[:0]), r"not \(0, 16\)"),
    "too dark": (lambda: plots.plot_digits(3 * IMAGES), "from 0 to 1, not float64"),
    "nan": (lambda: plots.plot_digits(IMAGES * np.nan), "from nan to nan"),
    "integers": (lambda: plots.plot_digits(np.ones((1, 4), int)), "not int64 from 1"),
    "captions": (lambda: plots.plot_digits(IMAGES, ["a"]), "7 captions.* not 1"),
    "columns": (lambda: plots.plot_digits(IMAGES, columns=0), "columns must be at least 1, not 0"),
    "labels": (
        lambda: plots.plot_mistakes(IMAGES, [1, 2], [1] * 7),
        r"\[\(2,\), \(7,\)\] with images of shape \(7, 16\)",
    ),
    "answers": (
        lambda: plots.plot_outputs([np.ones((4, 4))], IMAGES, np.ones((7, 10))),
        "1 photographs, 7 images and outputs of 7",
    ),
    "weights": (lambda: plots.plot_weights(np.ones((2, 3))), "weights.*not \\(2, 3\\)"),
    "infinite weights": (lambda: plots.plot_weights([[np.inf]]), "NaN or infinity"),
    "not counts": (lambda: plots.plot_confusion(np.eye(2)), "not float64"),
    "oblong": (lambda: plots.plot_confusion(np.ones((2, 3), int)), r"\(2, 3\)"),
    "negative": (lambda: plots.plot_confusion([[1, -1], [0, 1]]), "at least 0"),
    "ending": (lambda: plots.save(figure(), "picture.jpg"), r"\.png or \.svg: give picture.jpg"),
}


@pytest.mark.parametrize("name", BAD)
def test_invalid_arguments_are_refused_in_one_sentence(name: str) -> None:
    call, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        call()


# Files.


def picture() -> Figure:
    return plots.plot_learning_curves({"a": RUN})


@pytest.mark.parametrize("ending", [".png", ".SVG"])
def test_a_figure_drawn_again_is_saved_in_the_same_bytes(tmp_path: Path, ending: str) -> None:
    for name in "ab":
        plots.save(picture(), tmp_path / (name + ending))
    first, second = ((tmp_path / (name + ending)).read_bytes() for name in "ab")
    assert first == second
    assert first.startswith(b"\x89PNG" if ending == ".png" else b"<?xml")
    assert b"<dc:date>" not in first


# Notebooks, and the reader's own Matplotlib style.


def test_every_function_returns_a_figure_that_a_notebook_displays() -> None:
    figures = [
        plots.plot_curves({"a": RUN}, "cost"),
        plots.plot_learning_curves({"a": RUN}),
        plots.plot_gradient_norms({"layer 1": [0.1, 0.2]}),
        plots.plot_digits(IMAGES),
        plots.plot_mistakes(IMAGES[:1], [1], [2]),
        plots.plot_weights(IMAGES),
        plots.plot_outputs([np.ones((4, 4))], IMAGES[:1], np.ones((1, 10))),
        plots.plot_confusion([[1, 2], [3, 4]]),
    ]
    for fig in figures:
        assert isinstance(fig, plots.Picture)
        assert fig._repr_png_().startswith(b"\x89PNG")


def test_a_given_axes_or_figure_is_drawn_on_and_returned() -> None:
    fig = figure()
    left, right = fig.subplots(1, 2)
    assert plots.plot_curves({"a": RUN}, "cost", ax=left) is fig
    assert plots.plot_confusion([[1, 2], [3, 4]], ax=right) is fig
    assert plots.plot_digits(IMAGES, fig=(other := figure())) is other


def test_the_readers_style_and_fonts_apply() -> None:
    style = {"font.size": 17, "font.family": ["serif"], "axes.facecolor": "red"}
    cycle = matplotlib.cycler(color=["#123456"])
    with matplotlib.rc_context(style | {"axes.prop_cycle": cycle}):
        fig = plots.plot_learning_curves({"a": RUN}, "title")
    label = fig.axes[0].xaxis.label
    assert (label.get_size(), label.get_family()) == (17, ["serif"])
    assert fig.axes[0].get_facecolor() == matplotlib.colors.to_rgba("red")
    assert fig.axes[0].get_lines()[0].get_color() == "#123456"
    default = plots.plot_learning_curves({"a": RUN}).axes[0].get_lines()[0]
    assert default.get_color() == plots.COLORS[0]


def test_a_label_that_is_not_utf_8_is_escaped(tmp_path: Path) -> None:
    label = b"run-\xff\n".decode(errors="surrogateescape")
    fig = plots.plot_learning_curves({label: RUN}, label)
    plots.save(fig, tmp_path / "a.svg")
    assert legend(fig)[0].startswith(r"run-\udcff\n")
    assert fig.get_suptitle() == r"run-\udcff\n"


def test_characters_that_the_font_lacks_are_one_warning(tmp_path: Path) -> None:
    fig = plots.plot_learning_curves({"\U000e0fff\U0001f9a9": RUN}, "\U0001f9a9")
    with pytest.warns(UserWarning, match="lacks .* characters .* font.family") as caught:
        plots.save(fig, tmp_path / "a.png")
    assert len(caught) == 1


def test_a_png_has_200_dots_per_inch(tmp_path: Path) -> None:
    plots.save(picture(), tmp_path / "a.png")
    assert matplotlib.image.imread(tmp_path / "a.png").shape == (800, 2000, 4)


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    fig = picture()

    def fail(file: Any, **options: Any) -> None:
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(fig, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        plots.save(fig, path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.png"]


def test_a_saved_file_has_the_mode_that_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        plots.save(picture(), tmp_path / "a.png")
    finally:
        os.umask(before)
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o640


def test_pyplot_is_never_imported_and_no_display_is_needed(tmp_path: Path) -> None:
    program = (
        "import sys; from nndl import plots\n"
        "fig = plots.plot_learning_curves({'a': {'test_cost': [1.0, 2.0]}})\n"
        "plots.save(fig, sys.argv[1])\n"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "MPLBACKEND")}
    subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(tmp_path / "a.png")],
        env=environment,
        check=True,
    )


def test_a_long_title_of_a_confusion_matrix_is_wrapped_in_the_figure() -> None:
    fig = plots.plot_confusion(np.diag([100] * 10), "a folder with a long name, " * 6)
    fig.draw_without_rendering()
    box = fig.axes[0].title.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= fig.bbox.width
    assert box.y1 <= fig.bbox.height


@pytest.mark.parametrize("label", [1, 100])
def test_labels_beside_a_mistake_do_not_reach_the_next_image(label: int) -> None:
    labels = np.full(16, label)
    fig = plots.plot_mistakes(np.zeros((16, 784)), labels, labels)
    fig.draw_without_rendering()
    ax = fig.axes[0]
    lefts = sorted({image.get_window_extent().x0 for image in ax.images})
    for text in ax.texts:
        box = text.get_window_extent()
        assert not any(box.x0 < left < box.x1 for left in lefts)


def test_a_confusion_matrix_of_many_classes_leaves_out_numbers_that_do_not_fit() -> None:
    fig = Figure(figsize=(6, 6))
    ax = fig.add_subplot()
    plots.plot_confusion(np.ones((62, 62), int), ax=ax)
    assert len(ax.get_xticks()) < 32
    wide = Figure(figsize=(15, 15)).add_subplot()
    plots.plot_confusion(np.ones((62, 62), int), ax=wide)
    assert len(wide.texts) == 62 * 62


def test_a_history_is_drawn_with_the_best_epoch_that_it_names() -> None:
    history = History({key: list(values) for key, values in RUN.items()}, best_epoch=2)
    fig = plots.plot_learning_curves({"by cost": history})
    for ax, value in zip(fig.axes, (93, 0.5), strict=True):
        [ring] = [line for line in ax.get_lines() if line.get_markersize() == 11]
        np.testing.assert_allclose(ring.get_xydata(), [[2, value]])
    assert legend(fig)[0] == "by cost: best 93.00 % in epoch 2"
    ax = axes()
    plots.plot_curves({"by cost": history}, "cost", ax=ax)
    assert len(lines(ax, "-")) == 1


@pytest.mark.parametrize("runs", [History(RUN), {"a": [0.9]}, [RUN]])
def test_what_is_no_mapping_to_runs_is_refused_with_advice(runs: Any) -> None:
    with pytest.raises(TypeError, match=r"must be a (mapping like|History, or)"):
        plots.plot_learning_curves(runs)
    with pytest.raises(TypeError, match=r"must be a (mapping like|History, or)"):
        plots.plot_curves(runs, "cost")


def test_pictures_in_rows_and_columns_are_drawn_as_they_are() -> None:
    pictures = IMAGES.reshape(7, 2, 8)
    flat = png(plots.plot_digits(IMAGES, shape=(2, 8)))
    np.testing.assert_array_equal(png(plots.plot_digits(pictures)), flat)
    for wrong in (np.zeros((0, 16)), np.zeros(16)):
        with pytest.raises(ValueError, match="must be one or more of the shape"):
            plots.plot_digits(wrong)
