"""Dataset, mini-batches, and the validation of arrays."""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nndl.batches import mini_batches
from nndl.data import Dataset
from nndl.data.synthetic import synthetic_digits
from nndl.dataset import warn_of_missing_classes
from nndl.network import Network
from nndl.training import Settings, train
from nndl.training.metrics import confusion_matrix
from nndl.validation import as_columns, as_targets, check_dataset, one_hot, rows_as_columns

RAW = np.random.default_rng(0).integers(0, 256, (23, 6), np.uint8)
LABELS = np.random.default_rng(1).integers(0, 4, 23)
FLOATS = (RAW / np.float32(256)).astype(np.float32)
FLOAT32 = np.dtype(np.float32)


def gathered(data: Dataset, size: int, order: Any = None, **more: Any) -> list[Any]:
    order = np.arange(len(data)) if order is None else order
    chunks = mini_batches(data, data.targets(4, FLOAT32), order, size, **more)
    return [(x.copy(), y.copy()) for chunk in chunks for x, y, _ in chunk]


def test_smoothed_labels_share_a_part_among_all_outputs() -> None:
    data = Dataset(RAW[:2], [3, 0])
    chunks = mini_batches(data, data.targets(4, FLOAT32, 0.1), np.arange(2), 2)
    y = next(chunks)[0][1]
    expected = [[0.025, 0.925], [0.025] * 2, [0.025] * 2, [0.925, 0.025]]
    np.testing.assert_allclose(y, expected, rtol=1e-6)
    assert y.dtype == np.float32


def trained(data: Dataset) -> bytes:
    net = Network([6, 5, 4], rng=1)
    list(net.sgd(data, 2, 5, 0.5, rng=2))
    return b"".join(p.tobytes() for p in net.parameters)


# Dataset.


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (FLOATS[0], LABELS, r"floats or integers of shape \(n, n_in\).*float32 of shape \(6,\)"),
        (FLOATS[0], LABELS, r"a single image is images\[None\]"),
        (FLOATS > 0.5, LABELS, r"floats or integers.*but are bool.*astype\(numpy\.float32\)"),
        (FLOATS + 1j, LABELS, "floats or integers.*but are complex64"),
        (FLOATS.astype(str), LABELS, "floats or integers.*but are <U"),
        (FLOATS.astype(object), LABELS, "floats or integers.*but are object"),
        ([], [], r"float64 of shape \(0,\)"),
        (None, LABELS, r"but are object of shape \(\)"),
        (FLOATS, LABELS[:-1], r"integers of shape \(23,\), one for each image.*shape \(22,\)"),
        (FLOATS, LABELS[:, None], r"shape \(23,\).*shape \(23, 1\)"),
        (FLOATS, np.eye(4)[LABELS], r"shape \(23, 4\); one-hot labels.*argmax\(axis=1\)"),
        (FLOATS, LABELS.astype(float), "must be integers.*but are float64"),
        (FLOATS, LABELS > 1, "must be integers.*but are bool"),
        (FLOATS, LABELS.astype(str), "must be integers.*but are <U21"),
        (FLOATS, LABELS - 1, "0 or more, but the smallest is -1"),
    ],
)
def test_wrong_shapes_and_dtypes_are_refused_with_advice(
    images: Any, labels: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Dataset(images, labels)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("bad", [[np.nan], [np.inf], [-np.inf], [np.inf, -np.inf]], ids=str)
def test_a_pixel_that_is_not_finite_is_refused_with_its_row(dtype: type, bad: list[float]) -> None:
    images = FLOATS.astype(dtype)
    images[17, : len(bad)] = bad
    with pytest.raises(ValueError, match="pixels must be finite, but image 17 holds"):
        Dataset(images, LABELS)


@pytest.mark.filterwarnings("ignore:float pixels")
def test_large_finite_pixels_are_accepted() -> None:
    assert len(Dataset(np.full((3, 2), 6e4, np.float16), np.zeros(3, int))) == 3
    assert len(Dataset(np.full((3, 2), 3e38, np.float32), np.zeros(3, int))) == 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_raw_pixels_as_floats_give_a_warning_at_the_callers_line(dtype: type) -> None:
    digits = synthetic_digits(20, np.random.default_rng(0))
    floats = (256 * digits.images).astype(dtype)
    with pytest.warns(
        UserWarning, match=r"but their mean is \d+\.?\d*; divide raw ones by 256"
    ) as caught:
        Dataset(floats, digits.labels)
    assert caught[0].filename == __file__
    net = Network([784, 10])
    with pytest.warns(UserWarning, match="divide raw ones by 256") as caught:
        net.predict(floats)
    assert caught[0].filename == __file__


def digits_8x8(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images like those of scikit-learn's load_digits: 8 x 8 pixels from 0 to 16."""
    drawn = synthetic_digits(n, np.random.default_rng(3))
    images = drawn.images.reshape(n, 28, 28)[:, 2:26, 2:26].reshape(n, 8, 3, 8, 3).mean(axis=(2, 4))
    images = np.rint(16 * images / images.max(axis=(1, 2), keepdims=True))
    return images.astype(np.float64).reshape(n, 64), drawn.labels


def accuracy_of(training: Dataset, test: Dataset) -> float:
    net = Network([64, 30, 10], rng=1)
    list(net.sgd(training, 10, 10, 3.0, rng=2))
    return float(np.mean(net.predict(test.images) == test.labels))


def test_every_advice_on_small_pixels_leads_to_a_network_that_learns() -> None:
    images, labels = digits_8x8(2000)
    with pytest.warns(UserWarning, match="divide raw ones by 16$"):
        Dataset(images, labels)
    with pytest.warns(UserWarning, match=r"the largest of these is 16.*\(images / 16\)\.astype"):
        raw = Dataset(images.astype(np.uint8), labels)
    scaled = Dataset((images / 16).astype(np.float32), labels)
    integers = Dataset(images.astype(np.int64), labels)
    np.testing.assert_array_equal(integers.images, scaled.images)
    assert integers.images.dtype == np.float32
    assert accuracy_of(scaled[:1500], scaled[1500:]) > 0.6
    assert accuracy_of(raw[:1500], raw[1500:]) < 0.3  # what the warning is about


@pytest.mark.parametrize("dtype", ["i1", "i2", ">i4", "i8", "u2", "u8"])
@pytest.mark.parametrize(
    ("largest", "scale", "expected"),
    [
        (1, 1, np.float32),
        (2, 16, np.float32),
        (16, 16, np.float32),
        (17, 1, np.uint8),
        (127, 1, np.uint8),
    ],
)
def test_integers_are_scaled_by_their_range(
    dtype: str, largest: int, scale: int, expected: type
) -> None:
    images = np.array([[0, 1, largest]], dtype)
    data = Dataset(images, [0])
    assert data.images.dtype == expected
    np.testing.assert_array_equal(data.images, images / scale)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([[0, 256]], r"range from 0 to 256; .*\(images / 256\)\.astype"),
        ([[0, 65535]], r"\(images / 65535\)\.astype"),
        ([[-1, 255]], r"range from -1 to 255; .*\(\(images - -1\) / 256\)\.astype"),
        ([[-5, -5]], r"range from -5 to -5"),
    ],
)
def test_integers_out_of_range_are_refused_with_a_formula(
    images: list[list[int]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Dataset(images, [0])


def test_the_warning_for_floats_above_256_names_the_largest() -> None:
    with pytest.warns(UserWarning, match="largest possible value; here the largest is 65535"):
        Dataset([[0.0, 65535.0]], [0])


def test_a_slice_of_dark_images_gives_no_warning() -> None:
    images = np.array([[255, 0], [3, 0], [0, 0]], np.uint8)
    assert len(Dataset(images, [0, 1, 2])[1:]) == 2


# Shape.


@pytest.mark.parametrize(
    ("images", "shape", "expected"),
    [
        (np.zeros((2, 784), "f4"), None, (28, 28)),
        (np.zeros((2, 12), "f4"), None, None),
        (np.zeros((2, 12), "f4"), (3, 4), (3, 4)),
        (np.zeros((2, 12), "f4"), [3, np.int64(2), 2], (3, 2, 2)),
        (np.zeros((2, 3, 4), "f4"), None, (3, 4)),
        (np.zeros((2, 3, 4), "f4"), (3, 4), (3, 4)),
        (np.zeros((2, 1, 28, 28), "f4"), None, (1, 28, 28)),
        (np.zeros((0, 4), "f4"), None, (2, 2)),
    ],
    ids=str,
)
def test_images_know_their_shape(images: Any, shape: Any, expected: Any) -> None:
    data = Dataset(images, np.zeros(len(images), int), shape=shape)
    assert data.shape == expected
    assert data.images.shape == (len(images), images[:1].size or 4)
    assert data[:1].shape == expected


@pytest.mark.parametrize("shape", [(3, 5), (12,), (-3, -4), (1, 1, 3, 4), "34", 12, (3.0, 4.0), ()])
def test_a_shape_that_does_not_fit_is_refused(shape: Any) -> None:
    with pytest.raises(ValueError, match=r"shape must be .* with a product of 12"):
        Dataset(np.zeros((2, 12), "f4"), [0, 1], shape=shape)
    with pytest.raises(ValueError, match=r"but is \(4, 3\) for images of shape \(2, 3, 4\)"):
        Dataset(np.zeros((2, 3, 4), "f4"), [0, 1], shape=(4, 3))


def test_maps_that_are_last_give_a_warning() -> None:
    with pytest.warns(UserWarning, match=r"read as 28 maps: .* images.transpose\(0, 3, 1, 2\)"):
        Dataset(np.zeros((2, 28, 28, 3), "f4"), [0, 1])
    Dataset(np.zeros((2, 28, 28, 3), "f4"), [0, 1], shape=(28, 28, 3))  # said to be so


def test_masked_values_are_refused_and_other_subclasses_become_arrays() -> None:
    images = np.ma.masked_greater(np.eye(2, 4, dtype="f4"), 0.5)
    with pytest.raises(ValueError, match=r"images must have no masked values: .*filled\(0\)"):
        Dataset(images, [0, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        matrix = np.matrix(np.zeros((2, 4), "f4"))
    for kind in (np.ma.array(np.zeros((2, 4), "f4")), matrix):
        assert type(Dataset(kind, [0, 1]).images) is np.ndarray


def test_images_with_more_dimensions_are_a_view() -> None:
    images = np.zeros((5, 3, 4), np.float32)
    assert np.shares_memory(Dataset(images, LABELS[:5]).images, images)


# In a notebook.


def shown(data: Dataset) -> tuple[str, np.ndarray | None]:
    html = data._repr_html_()
    found = re.search(r'src="data:image/png;base64,([^"]*)"', html)
    picture = Image.open(io.BytesIO(base64.b64decode(found[1]))) if found else None
    return html, None if picture is None else np.asarray(picture)


def test_a_notebook_shows_a_table_and_the_first_images() -> None:
    images = np.random.default_rng(0).integers(0, 256, (45, 3, 4)).astype(np.uint8)
    html, picture = shown(Dataset(images, np.arange(45) % 3, "<mine>"))
    assert "&lt;mine&gt;" in html
    assert "45 of 3 × 4 pixels, uint8" in html
    assert "0: 15, 1: 15, 2: 15" in html
    assert picture is not None
    assert picture.shape == (2 * 4 - 1, 20 * 5 - 1)
    np.testing.assert_array_equal(picture[:3, :4], images[0])
    np.testing.assert_array_equal(picture[4:7, 5:9], images[21])


def test_a_notebook_shows_floats_and_first_maps_and_clips_what_is_outside() -> None:
    images = np.zeros((1, 2, 3, 3), np.float32)
    images[0, 0] = [[-1, 0, 0.5], [1, 2, 0.25], [0, 0, 0]]
    picture = shown(Dataset(images, [0]))[1]
    assert picture is not None
    assert picture.tolist() == [[0, 0, 128], [255, 255, 64], [0, 0, 0]]


@pytest.mark.parametrize("shape", [(0, 4), (3, 5), (2, 300 * 300)])
def test_a_notebook_shows_no_picture_where_there_is_none(shape: tuple[int, int]) -> None:
    html, picture = shown(Dataset(np.zeros(shape, np.float32), np.zeros(shape[0], int)))
    assert picture is None
    assert f"{shape[0]} of " in html


# Classes that training lacks.


def test_missing_labels_give_a_warning_at_the_callers_line() -> None:
    data = Dataset(FLOATS, np.arange(23))
    with pytest.warns(
        UserWarning, match=r"labels 11, 12, 13, .*20, \.\.\., which mine has"
    ) as caught:
        warn_of_missing_classes(data[:11], data[11:], "mine")
    assert caught[0].filename == __file__
    warn_of_missing_classes(data, data[:5], "mine")


def test_train_warns_if_sorted_data_were_divided_between_classes() -> None:
    data = Dataset(FLOATS, np.arange(23) // 6)
    with pytest.warns(UserWarning, match="lacks the labels 3, which the validation set") as caught:
        train(Network([6, 4], rng=1), data[:15], Settings(epochs=1), validation=data[18:], rng=2)
    assert caught[0].filename == __file__


def test_pixels_of_usual_scales_give_no_warning(rng: np.random.Generator) -> None:
    for images in (np.ones((3, 4)), rng.normal(size=(50, 20)), np.full((3, 4), 255, np.uint8)):
        Dataset(images, np.zeros(len(images), int))
        Network([images.shape[1], 2]).predict(images)


def test_a_slice_or_an_array_of_rows_gives_a_data_set() -> None:
    data = Dataset(FLOATS, LABELS, "mine")
    for rows in (slice(5), slice(3, 20, 4), np.array([4, 2, 2]), LABELS == 1):
        part = data[rows]
        np.testing.assert_array_equal(part.images, FLOATS[rows])
        np.testing.assert_array_equal(part.labels, LABELS[rows])
        assert part.name == "mine"
    assert len(data[:0]) == 0
    assert np.shares_memory(data[3:9].images, FLOATS)


def test_a_slice_has_a_digest_of_its_own() -> None:
    data = Dataset(FLOATS, LABELS)
    assert data.digest == Dataset(FLOATS.copy(), LABELS, "other").digest
    assert data[:5].digest == Dataset(FLOATS[:5], LABELS[:5]).digest != data.digest


@pytest.mark.parametrize("index", [0, (1, 2), [1, 2], "images", None])
def test_a_single_index_says_how_to_get_an_image(index: Any) -> None:
    with pytest.raises(TypeError, match=r"slice or an array.*dataset\.images\[i\]"):
        Dataset(FLOATS, LABELS)[index]


def test_a_data_set_unpacks_has_a_repr_and_is_frozen() -> None:
    data = Dataset(RAW, LABELS, "mine")
    images, labels = data
    assert images is data.images is RAW
    assert labels is data.labels is LABELS
    assert repr(data) == "Dataset('mine', 23 images of 6 pixels, uint8)"
    with pytest.raises(AttributeError):
        data.images = FLOATS


# The same numbers in other layouts and dtypes train the same network, bit for bit.


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.setflags(write=False)
    return array


def strided(array: np.ndarray) -> np.ndarray:
    wide = np.zeros((2 * len(array), 3 * array.shape[1]), array.dtype)
    wide[::2, ::3] = array
    return wide[::2, ::3]


LAYOUTS: list[Callable[[np.ndarray], Any]] = [
    read_only,
    strided,
    np.asfortranarray,
    lambda array: array[::-1].copy()[::-1],
    lambda array: array.astype(array.dtype.newbyteorder(">")),
    lambda array: array.astype(np.float64),
    lambda array: (array * 256).astype(np.uint8),
    lambda array: array.tolist(),
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_may_come_in_any_layout(layout: Callable[[np.ndarray], Any]) -> None:
    plain = trained(Dataset(FLOATS, LABELS))
    assert trained(Dataset(layout(FLOATS), LABELS)) == plain


def test_half_precision_is_trained_in_the_dtype_of_the_network() -> None:
    half = FLOATS.astype(np.float16)
    assert trained(Dataset(half, LABELS)) == trained(Dataset(half.astype(np.float32), LABELS))


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", ">i4", "i8", "u8"])
def test_labels_may_be_integers_of_any_size(dtype: str) -> None:
    data = Dataset(FLOATS, LABELS.astype(dtype))
    assert trained(data) == trained(Dataset(FLOATS, LABELS))
    assert confusion_matrix(Network([6, 4], rng=1), data).sum() == 23


def test_images_may_be_memory_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", FLOATS)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    data = Dataset(mapped, LABELS)
    assert np.shares_memory(data.images, mapped)
    assert trained(data) == trained(Dataset(FLOATS, LABELS))


def test_columns_of_a_data_frame_are_images_and_labels() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(FLOATS).assign(label=LABELS)
    data = Dataset(frame.drop(columns="label"), frame["label"])
    assert trained(data) == trained(Dataset(FLOATS, LABELS))


def test_training_does_not_change_the_data() -> None:
    images, labels = FLOATS.copy(), LABELS.copy()
    trained(Dataset(images, labels))
    np.testing.assert_array_equal(images, FLOATS)
    np.testing.assert_array_equal(labels, LABELS)


# Mini-batches.


@pytest.mark.filterwarnings("ignore:float pixels")
@given(st.integers(1, 40), st.integers(1, 50), st.integers(1, 12), st.randoms())
def test_every_image_comes_once_in_order_and_with_its_label(
    n: int, size: int, chunk: int, random: Any
) -> None:
    rows = np.arange(n)
    data = Dataset(rows[:, None].astype(np.float32), rows % 4)
    order = np.array(random.sample(range(n), n))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nndl.batches.CHUNK", chunk)
        batches = gathered(data, size, order)
    sizes = [x.shape[1] for x, _ in batches]
    assert sizes == [size] * (n // size) + [n % size] * (n % size > 0)
    assert [y.shape for _, y in batches] == [(4, m) for m in sizes]
    np.testing.assert_array_equal(np.concatenate([x[0] for x, _ in batches]), order)
    y = np.concatenate([y for _, y in batches], axis=1)
    np.testing.assert_array_equal(y, np.eye(4)[order % 4].T)


def test_raw_pixels_become_the_floats_of_the_book() -> None:
    pairs = zip(
        gathered(Dataset(RAW, LABELS), 5), gathered(Dataset(FLOATS, LABELS), 5), strict=True
    )
    for (x, _), (expected, _) in pairs:
        assert x.dtype == np.float32
        np.testing.assert_array_equal(x, expected)
    np.testing.assert_array_equal(rows_as_columns(RAW, 6, np.float32), FLOATS.T)


def test_prepare_gets_rows_before_they_are_divided_into_mini_batches() -> None:
    shapes = []

    def negate(rows: np.ndarray) -> np.ndarray:
        shapes.append(rows.shape)
        return -rows

    batches = gathered(Dataset(FLOATS, LABELS), 5, prepare=negate)
    np.testing.assert_array_equal(np.concatenate([x.T for x, _ in batches]), -FLOATS)
    assert shapes == [(20, 6), (3, 6)]


def test_the_columns_of_a_mini_batch_are_contiguous_for_blas() -> None:
    data = Dataset(RAW, LABELS)
    for chunk in mini_batches(data, data.targets(4, FLOAT32), np.arange(23), 5):
        assert all(x.flags.f_contiguous and y.flags.f_contiguous for x, y, _ in chunk)


# Validation of arrays.


def test_one_hot_columns_are_1_at_the_label() -> None:
    columns = one_hot(np.array([2, 0]), 3)
    assert columns.tolist() == [[0, 1], [0, 0], [1, 0]]
    assert columns.dtype == np.float32
    assert one_hot(np.array([], int), 3).shape == (3, 0)


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0], [300]], ids=str)
def test_a_label_beyond_the_outputs_is_refused_with_the_range(labels: list[int]) -> None:
    with pytest.raises(ValueError, match=rf"0 to 2, but range from {labels[0]} to {labels[-1]}"):
        one_hot(np.array(labels), 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_validated_arrays_have_the_dtype_of_the_network(dtype: type) -> None:
    for given_dtype in (np.float16, np.float32, np.float64, np.int64, np.uint8, bool):
        x = np.ones((6, 2), given_dtype)
        assert as_columns(x, 6, dtype).dtype == dtype
        assert rows_as_columns(x.T, 6, dtype).dtype == dtype
        assert as_targets(x, 6, 2, dtype).dtype == dtype
    assert as_targets([0, 5], 6, 2, dtype).dtype == dtype


def test_an_array_that_fits_is_not_copied() -> None:
    assert as_columns(FLOATS.T, 6, np.float32).base is FLOATS
    assert np.shares_memory(rows_as_columns(FLOATS, 6, np.float32), FLOATS)


@pytest.mark.parametrize(
    ("n_in", "n_out", "rows", "error", "message"),
    [
        (7, 4, slice(None), ValueError, r"takes 7 pixels.*23 images of 6 pixels"),
        (6, 3, slice(None), ValueError, r"labels 0 to 2, but .* has labels up to 3"),
        (6, 4, slice(0), ValueError, r"is empty: pass at least one image"),
    ],
)
def test_a_data_set_that_does_not_fit_the_network_is_refused(
    n_in: int, n_out: int, rows: slice, error: type[Exception], message: str
) -> None:
    check_dataset(Dataset(FLOATS, LABELS), 6, 4)
    with pytest.raises(error, match=message):
        check_dataset(Dataset(FLOATS, LABELS)[rows], n_in, n_out)


def test_integers_whose_scale_a_call_cannot_know_are_refused() -> None:
    """The scale of a Dataset is that of its largest pixel; of one image it may be another."""
    net = Network([6, 3], rng=0)
    for large in (17, 255):
        images = np.array([[0, 1, 2, 3, 4, large]])
        np.testing.assert_array_equal(
            net.predict_proba(images), net.predict_proba(images.astype(np.uint8))
        )
    ones = np.array([[0, 1, 1, 0, 0, 1]])
    np.testing.assert_array_equal(net.predict_proba(ones), net.predict_proba(ones.astype(float)))
    for method in (net.predict, net.predict_proba):
        with pytest.raises(ValueError, match=r"int64 pixels up to 16 may be raw.*uint8"):
            method(np.array([[0, 1, 2, 3, 4, 16]]))
