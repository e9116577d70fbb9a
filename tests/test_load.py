"""Loading data by name or path: formats, splits, and what an import loads."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import random
import subprocess
import sys
import time
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nndl.data import (
    Dataset,
    idx_folders,
    load,
    load_data,
    load_folder,
    named,
    npz_files,
    pickle_files,
    split,
    write_idx,
)
from nndl.data import mnist as mnist_module
from nndl.data.download import cache_folder
from nndl.data.idx import read_labeled_images
from nndl.data.load import SYNTHETIC_SIZES
from nndl.data.synthetic import synthetic_digits

ROOT = Path(__file__).parent.parent
HEAVY = ["pooch", "requests", "urllib3", "PIL", "scipy.ndimage", "matplotlib"]


@pytest.mark.parametrize("module", ["nndl", "nndl.data"])
def test_an_import_loads_no_library_that_only_some_functions_need(module: str) -> None:
    code = f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_functions_for_photographs_are_imported_when_they_are_used() -> None:
    code = "import sys; from nndl.data import mnist_like; print('PIL' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "True\n", done.stderr


def test_a_name_that_the_package_lacks_is_an_attribute_error() -> None:
    import nndl.data

    with pytest.raises(AttributeError, match="no attribute 'imagenet'"):
        nndl.data.imagenet  # noqa: B018


# Files and folders. Small sets of three classes, whose images have 4 x 3 pixels.

N, M = 60, 12
SHAPE = (4, 3)


def small(n: int, seed: int = 0, low: int = 0, high: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Return n images and labels in the order 0, 1, 2, 0, 1, ..."""
    rng = np.random.default_rng(seed)
    images = rng.integers(low, high, (n, *SHAPE)).astype(np.uint8)
    images[0, 0, 0] = high - 1
    return images, np.arange(n) % 3


TRAIN, TEST = small(N), small(M, 1)


def write_idx_set(
    folder: Path, prefix: str = "", suffix: str = "", train: Any = TRAIN, test: Any = TEST
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part, (images, labels) in (("train", train), ("t10k", test)):
        name = f"{prefix}{part}-images-idx3-ubyte{suffix}"
        write_idx(folder / name, images)
        write_idx(folder / name.replace("images-idx3", "labels-idx1"), labels.astype(np.uint8))


def write_csv(path: Path, data: Any, header: str = "", last: bool = False) -> None:
    images, labels = data
    table = np.column_stack([labels, images.reshape(len(images), -1)])
    if last:
        table = np.roll(table, -1, axis=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, table, "%d", delimiter=",", header=header, comments="")


def write_pictures(folder: Path, data: Any, names: str = "012", suffix: str = "png") -> None:
    for i, (image, label) in enumerate(zip(*data, strict=True)):
        sub = folder / names[label]
        sub.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(sub / f"{i:03}.{suffix}")


PIXELS = ",".join(f"pixel{i}" for i in range(12))


def idx(folder: Path) -> Path:
    write_idx_set(folder)
    return folder


def idx_gzipped_with_prefix(folder: Path) -> Path:
    write_idx_set(folder, "mine-", ".gz")
    return folder


def torchvision(folder: Path) -> Path:
    """MNIST/raw, with the files gzipped and not, as torchvision leaves them."""
    write_idx_set(folder / "MNIST" / "raw")
    write_idx_set(folder / "MNIST" / "raw", "", ".gz")
    return folder


def keras(folder: Path) -> Path:
    path = folder / "mnist.npz"
    np.savez_compressed(path, x_train=TRAIN[0], y_train=TRAIN[1], x_test=TEST[0], y_test=TEST[1])
    return path


def keras_in_a_folder(folder: Path) -> Path:
    return keras(folder).parent


def medmnist(folder: Path) -> Path:
    arrays = {"train_images": TRAIN[0], "train_labels": TRAIN[1][:, None]}
    arrays |= {"test_images": TEST[0], "test_labels": TEST[1][:, None].astype(float)}
    np.savez(folder / "organs.npz", **arrays)
    return folder / "organs.npz"


def csv_with_header(folder: Path) -> Path:
    write_csv(folder / "train.csv", TRAIN, f"label,{PIXELS}")
    write_csv(folder / "test.csv", TEST, f"label,{PIXELS}")
    return folder


def csv_without_header(folder: Path) -> Path:
    write_csv(folder / "mnist_train.csv", TRAIN)
    write_csv(folder / "mnist_test.csv", TEST)
    return folder


def csv_with_the_label_last(folder: Path) -> Path:
    write_csv(folder / "train.csv", TRAIN, f'{PIXELS},"Class"', last=True)
    write_csv(folder / "test.csv", TEST, f'{PIXELS},"Class"', last=True)
    return folder


def pictures(folder: Path) -> Path:
    write_pictures(folder / "train", TRAIN)
    write_pictures(folder / "test", TEST)
    return folder


def pictures_in_classes_with_names(folder: Path) -> Path:
    write_pictures(folder / "training", TRAIN, "abc", "bmp")
    write_pictures(folder / "testing", TEST, "abc", "bmp")
    return folder


FORMS = [
    idx,
    idx_gzipped_with_prefix,
    torchvision,
    keras,
    keras_in_a_folder,
    medmnist,
    csv_with_header,
    csv_without_header,
    csv_with_the_label_last,
    pictures,
    pictures_in_classes_with_names,
]


def rows(*sets: Dataset) -> list[tuple[int, bytes]]:
    """Return label and pixels of every image, sorted."""
    return sorted(
        (int(label), image.tobytes())
        for data in sets
        for image, label in zip(data.images, data.labels, strict=True)
    )


def expected(data: Any) -> list[tuple[int, bytes]]:
    return sorted((int(label), image.tobytes()) for image, label in zip(*data, strict=True))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_every_form_gives_the_same_images_and_labels(form: Any, tmp_path: Path) -> None:
    training, validation, test = load_data(form(tmp_path), np.uint8)
    assert rows(training, validation) == expected(TRAIN)
    assert rows(test) == expected(TEST)
    assert len(validation) == (9 if "pictures" in form.__name__ else 10)
    assert {d.images.dtype for d in (training, validation, test)} == {np.dtype(np.uint8)}
    if "csv" not in form.__name__:
        assert training.shape == test.shape == SHAPE


@pytest.mark.parametrize("form", [idx, keras, csv_with_header, pictures])
def test_floats_are_raw_256ths_as_in_the_book(form: Any, tmp_path: Path) -> None:
    path = form(tmp_path)
    raw = load_data(path, np.uint8)[2].images
    for dtype in (np.float32, np.float64):
        images = load_data(path, dtype)[2].images
        assert images.dtype == dtype
        np.testing.assert_array_equal(images, raw.astype(dtype) / 256)


@pytest.mark.parametrize(
    ("form", "name"),
    [(idx, "own"), (torchvision, "MNIST"), (keras, "mnist"), (csv_with_header, "own")],
)
def test_a_set_has_the_name_of_its_folder_or_file(form: Any, name: str, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    path = form(tmp_path / "own")
    if form is torchvision:
        path = path / "MNIST" / "raw"
    assert [d.name for d in load_data(path)] == [
        f"{name} {part}" for part in ("training", "validation", "test")
    ]


def test_a_folder_keeps_the_order_of_its_images(tmp_path: Path) -> None:
    training, validation, test = load_data(idx(tmp_path), np.uint8)
    split = N - N // 6
    np.testing.assert_array_equal(training.images, TRAIN[0][:split].reshape(split, -1))
    np.testing.assert_array_equal(validation.images, TRAIN[0][split:].reshape(N // 6, -1))
    np.testing.assert_array_equal(test.labels, TEST[1])


def test_real_mnist_from_a_folder_is_split_as_in_the_book(mnist: Any) -> None:
    folder = cache_folder("mnist")
    for given, loaded in zip(mnist, load_folder(folder), strict=True):
        np.testing.assert_array_equal(loaded.labels, given.labels)
        np.testing.assert_array_equal(loaded.images[::99], given.images[::99])


def test_gzipped_and_unzipped_files_side_by_side_must_agree(tmp_path: Path) -> None:
    write_idx_set(tmp_path)
    write_idx_set(tmp_path, "", ".gz", train=small(N, 5))
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte and .*\.gz .* but differ"):
        load_data(tmp_path)


def test_of_two_equal_files_the_one_that_is_not_gzipped_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_idx_set(tmp_path)
    write_idx_set(tmp_path, "", ".gz")
    pairs: list[tuple[str, str]] = []

    def read(images: Path, labels: Path, name: str) -> Dataset:
        pairs.append((images.suffix, labels.suffix))
        return read_labeled_images(images, labels, name)

    monkeypatch.setattr(idx_folders, "read_labeled_images", read)
    load_data(tmp_path)
    assert pairs == [("", "")] * 2


def test_two_sets_in_one_folder_are_not_mixed(tmp_path: Path) -> None:
    write_idx_set(tmp_path)
    write_idx_set(tmp_path, "emnist-digits-")
    with pytest.raises(FileNotFoundError, match=r"has several, emnist-digits-train-\.\.\., train"):
        load_folder(tmp_path)


def test_two_sets_below_one_folder_are_named(tmp_path: Path) -> None:
    write_idx_set(tmp_path / "MNIST" / "raw")
    write_idx_set(tmp_path / "KMNIST" / "raw")
    with pytest.raises(FileNotFoundError, match=r"give one of .*KMNIST/raw, .*MNIST/raw"):
        load_folder(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    write_idx_set(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks test-labels-idx1-ubyte, gzipped or not"):
        load_folder(tmp_path)


def test_labels_that_do_not_number_classes_are_refused(tmp_path: Path) -> None:
    write_idx_set(tmp_path, train=(TRAIN[0], 80 * TRAIN[1]))
    with pytest.raises(ValueError, match=r"must number the classes, .* up to 160 while only 5"):
        load_folder(tmp_path)


# EMNIST.


def test_images_of_emnist_are_upright_and_its_letters_begin_at_0(tmp_path: Path) -> None:
    transposed = [(images.swapaxes(1, 2), labels + 1) for images, labels in (TRAIN, TEST)]
    write_idx_set(tmp_path, "emnist-letters-", ".gz", *transposed)
    training, validation, test = load_data(tmp_path, np.uint8)
    assert rows(training, validation) == expected(TRAIN)
    assert rows(test) == expected(TEST)
    assert test.shape == SHAPE


@pytest.fixture
def emnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of EMNIST with a small archive, which takes the place of the published one."""
    monkeypatch.setenv("NNDL_DATA_DIR", str(tmp_path))
    folder = tmp_path / "emnist"
    for name in ("digits", "letters"):
        one = name == "letters"
        transposed = [(images.swapaxes(1, 2), labels + one) for images, labels in (TRAIN, TEST)]
        write_idx_set(tmp_path / "source", f"emnist-{name}-", ".gz", *transposed)
    folder.mkdir()
    with zipfile.ZipFile(folder / "gzip.zip", "w") as archive:
        archive.writestr("gzip/../../outside.txt", "a member outside is not unpacked")
        for path in (tmp_path / "source").iterdir():
            archive.write(path, "gzip/" + path.name.replace("t10k", "test"))
    content = (folder / "gzip.zip").read_bytes()
    published = (len(content), sha256(content).hexdigest())
    monkeypatch.setattr(named, "EMNIST", named.EMNIST._replace(files={"gzip.zip": published}))
    return folder


def test_emnist_is_unpacked_once_from_its_verified_archive(emnist: Path) -> None:
    for name in ("emnist-letters", "emnist-digits"):
        training, validation, test = load_data(name, np.uint8)
        assert rows(training, validation) == expected(TRAIN)
        assert rows(test) == expected(TEST)
        assert test.name == f"{name} test"
    assert not (emnist / "gzip.zip").exists()
    assert not (emnist.parent / "outside.txt").exists()


def test_another_process_may_unpack_emnist_first(
    emnist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpack = named._unpack

    def late(folder: Path) -> None:
        unpack(folder)  # by the other process
        (folder / "gzip.zip").unlink()
        unpack(folder)

    monkeypatch.setattr(named, "_unpack", late)
    assert len(load_data("emnist-digits")[2]) == M


def test_a_damaged_file_of_emnist_is_not_loaded(
    emnist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_data("emnist-digits")
    path = emnist / "emnist-digits-test-labels-idx1-ubyte.gz"
    write_idx(path, np.zeros(M, np.uint8))
    monkeypatch.setattr(named, "EMNIST", named.EMNIST._replace(mirrors=[]))
    with pytest.raises(OSError, match="EMNIST could not be downloaded"):
        load_data("emnist-digits")


@pytest.mark.parametrize("name", ["fashion-mnist", "kmnist"])
def test_a_published_set_is_loaded_by_name_if_its_files_are_the_published_ones(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NNDL_DATA_DIR", str(tmp_path))
    write_idx_set(tmp_path / name, "", ".gz")
    attribute = name.upper().replace("-", "_")
    published = getattr(named, attribute)._replace(mirrors=[])
    monkeypatch.setattr(named, attribute, published)
    with pytest.raises(
        OSError, match=f"{published.title} could not be downloaded: .*Put the files"
    ):
        load_data(name)
    files = {
        n: (p.stat().st_size, sha256(p.read_bytes()).hexdigest())
        for p in (tmp_path / name).iterdir()
        for n in [p.name]
    }
    monkeypatch.setattr(named, attribute, published._replace(files=files))
    assert rows(load_data(name, np.uint8)[2]) == expected(TEST)


# CSV.


def test_kaggles_test_file_without_labels_is_left_out(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", TRAIN, f"label,{PIXELS}")
    (tmp_path / "test.csv").write_text(f"{PIXELS}\n{','.join(['7'] * 12)}\n")
    with pytest.warns(UserWarning, match=r"test\.csv has no column of labels.*train\.csv"):
        sets = load_data(tmp_path, np.uint8)
    assert rows(*sets) == expected(TRAIN)
    assert [len(d) for d in sets] == [42, 8, 10]


def test_csv_files_are_found_by_whole_words_in_their_names(tmp_path: Path) -> None:
    write_csv(tmp_path / "latest_train.csv", TRAIN)
    assert len(load_data(tmp_path)[2]) == 10
    write_csv(tmp_path / "latest_test.csv", TEST)
    assert rows(load_data(tmp_path, np.uint8)[2]) == expected(TEST)
    write_csv(tmp_path / "old_train.csv", TRAIN)
    with pytest.raises(FileNotFoundError, match="one CSV file for training, but has latest_train"):
        load_data(tmp_path)


def test_pixels_of_a_csv_file_may_be_floats(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("0,0.5,0.25\n1,0,1\n" * 6)
    training, *_ = load_data(tmp_path / "own.csv", np.uint8)
    assert training.images.dtype == np.float32
    assert training.images[:2].tolist() == [[0.5, 0.25], [0, 1]]


def test_integers_up_to_16_are_divided_by_16(tmp_path: Path) -> None:
    write_csv(tmp_path / "digits.csv", small(60, 0, 0, 17))
    training, *_ = load_data(tmp_path / "digits.csv", np.uint8)
    assert training.images.max() == 1


@pytest.mark.parametrize("form", ["csv", "npz"])
def test_all_parts_of_a_data_set_have_one_scale(form: str, tmp_path: Path) -> None:
    (bright, labels), (faint, others) = small(60, 0, 0, 256), small(20, 1, 0, 17)
    bright.flat[0] = 255
    if form == "csv":
        write_csv(tmp_path / "train.csv", (bright, labels))
        write_csv(tmp_path / "test.csv", (faint, others))
        path = tmp_path
    else:
        arrays = {"x_train": bright.astype(int), "y_train": labels, "x_test": faint.astype(int)}
        path = npz(tmp_path, **arrays, y_test=others)
    with pytest.warns(UserWarning, match="uint8 pixels are divided by 256, but the largest"):
        *_, test = load_data(path, np.float32)
    np.testing.assert_array_equal(test.images, faint.reshape(20, -1).astype(np.float32) / 256)


@pytest.mark.filterwarnings("ignore:float pixels should be between 0 and 1")
def test_integers_beside_floats_are_floats(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("0,0.5,9\n1,0,1\n" * 6)
    (tmp_path / "test.csv").write_text("0,3,9\n")
    *_, test = load_data(tmp_path)
    assert test.images.tolist() == [[3, 9]]


def test_labels_of_any_size_are_split_or_refused(tmp_path: Path) -> None:
    data = Dataset(np.zeros((12, 4), np.float32), np.repeat([7, 10**15], 6))
    assert [d.labels.tolist() for d in split(data)] == [[7] * 5 + [10**15] * 5, [7, 10**15]]
    assert "1000000000000000: 6" in data._repr_html_()
    (tmp_path / "own.csv").write_text("1000000000,0,1\n" * 12)
    with pytest.raises(ValueError, match="must number the classes, but those of own go up to 1000"):
        load_data(tmp_path / "own.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("label,a,b\n", "label and pixels in each row"),
        ("1\n2\n", r"the shape \(2, 1\)"),
        ("1,2,3\n1,2\n", "must be a table of numbers"),
        ("1,2,3\n1,two,3\n", "must be a table of numbers.*'two'"),
        ("1,2,3\n1,\x1b[31m\x07,3\n", r"must be a table of numbers.*x1b"),
        ("a,label,b\n1,0.5,3\n", r"integer labels in column 2, but row 1 has 0\.5"),
        ("nan,2,3\n1,2,3\n", "integer labels in column 1, but row 1 has nan"),
        ("1,2,3\ninf,2,3\n", "integer labels in column 1, but row 2 has inf"),
        ("1,2,3\n-1,2,3\n", "labels must be 0 or more"),
        ("1,2,nan\n1,2,3\n", "pixels must be finite"),
        ("1,2,300\n1,2,3\n", r"must be 0 to 255, but range from 2 to 300; .*images / 300"),
        ("x" * 2**24, "first line does not end"),
    ],
    ids=range(13),
)
def test_what_is_not_a_table_of_images_is_refused(
    content: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "own.csv").write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_data(tmp_path / "own.csv")
    assert str(caught.value).isprintable()


# Pickles.


def three_pairs(images: np.ndarray = TRAIN[0]) -> Any:
    floats = (images.reshape(N, -1) / np.float32(256)).astype(np.float32)
    parts = (slice(0, 40), slice(40, 50), slice(50, 60))
    return tuple((floats[part], TRAIN[1][part]) for part in parts)


@pytest.mark.parametrize("protocol", range(6))
def test_the_books_pickle_is_read(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "mnist.pkl.gz"
    path.write_bytes(gzip.compress(pickle.dumps(three_pairs(), protocol)))
    training, validation, test = load_data(path, np.uint8)
    assert [len(d) for d in (training, validation, test)] == [40, 10, 10]
    assert rows(training, validation, test) == expected(TRAIN)
    np.testing.assert_array_equal(load_data(tmp_path)[0].images, three_pairs()[0][0])


class Hostile:
    def __init__(self, function: Any, *args: Any) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> Any:
        return self.function, self.args


def array_of(dtype: bytes, shape: Any, content: bytes) -> bytes:
    """Return the pickle of an array, with whatever shape and content it claims."""
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntU\x01btR(I1\n"
        + pickle.dumps(shape, 0)[:-1]
        + b"cnumpy\ndtype\n(U"
        + bytes([len(dtype)])
        + dtype
        + b"I0\nI1\ntR(I3\nU\x01<NNNI-1\nI-1\nI0\ntbI00\n"
        + b"T"
        + len(content).to_bytes(4, "little")
        + content
        + b"tb"
    )


def pairs_of(array: bytes) -> bytes:
    return b"(" + 3 * (b"(" + array + array_of(b"i4", (1,), bytes(4)) + b"t") + b"t."


FLOAT = array_of(b"f4", (1, 4), bytes(16))


def test_the_pickles_of_these_tests_are_well_formed(tmp_path: Path) -> None:
    (tmp_path / "own.pkl").write_bytes(pairs_of(FLOAT))
    sets = pickle_files.read_pickle(tmp_path / "own.pkl")
    assert [d.images.tolist() for d in sets.values()] == [[[0, 0, 0, 0]]] * 3


class FromBuffer:
    """Pickled, it asks for an array of the bytes that bytes(size) would allocate."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __reduce__(self) -> Any:
        from numpy._core.numeric import _frombuffer  # type: ignore[attr-defined]

        return _frombuffer, (self.size, np.dtype("f4"), (1, 4), "C")


HOSTILE = {
    "a system call": pickle.dumps(Hostile(os.system, "touch mark")),
    "eval": pickle.dumps(Hostile(eval, "open('mark', 'w')")),
    "a function of NumPy": pickle.dumps(Hostile(np.save, "mark", 1)),
    "an attribute of the interpreter": b"cnumpy\nndarray.__init__\n.",
    "a class of a pair": pickle.dumps((Path("x"),) * 3),
    "an array of objects": pickle.dumps(((np.array([{}]), np.array([1])),) * 3),
    "an array of text": pickle.dumps(((np.array(["a"]), np.array([1])),) * 3),
    "more elements than bytes": pairs_of(array_of(b"f4", (10**11, 4), bytes(16))),
    "fewer elements than bytes": pairs_of(array_of(b"f4", (1, 3), bytes(16))),
    "a negative shape": pairs_of(array_of(b"f4", (-1, -4), bytes(16))),
    "a shape of text": pairs_of(array_of(b"f4", "ab", bytes(16))),
    "a million dimensions": pairs_of(array_of(b"f4", (1,) * 10**5, bytes(16))),
    "a dtype of objects": pairs_of(array_of(b"O8", (1, 4), bytes(32))),
    "an unknown dtype": pairs_of(array_of(b"f9", (1, 4), bytes(16))),
    "a place in memory of 64 GB": b"\x80\x02Nr\xff\xff\xff\xff.",
    "text of 4 GB": b"\x80\x02T\xff\xff\xff\x7fabc.",
    "bytes of an exabyte": b"\x80\x04\x8e" + b"\xff" * 7 + b"\x00abc.",
    "a bytearray of 16 GB": b"\x80\x05\x96" + (2**34).to_bytes(8, "little") + b"abc.",
    "a number of a million digits": b"I" + b"9" * 10**6 + b"\n.",
    "lists within lists": b"]" * 10**5 + b"a" * (10**5 - 1) + b".",
    "two pairs": b"(" + pairs_of(FLOAT)[1:-2] + b"0t.",
    "no pairs": b"N.",
    "nothing": b"",
    "noise": bytes(range(256)),
    "the half of one": pairs_of(FLOAT)[:200],
    "a persistent id": b"Pabc\n.",
    "an extension": b"\x80\x02\x82\x01.",
    "a call of an array": b"(" + FLOAT + b"tR.",
    "a key of tuples within tuples": b"\x80\x02}(" + b")" + b"\x85" * 3_000_000 + b"K\x01u.",
    "a set of tuples within tuples": b"\x80\x04\x8f(" + b")" + b"\x85" * 3_000_000 + b"\x90.",
    "bytes of a size": pickle.dumps(FromBuffer(2**62)),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_pickle_is_one_error_and_runs_nothing(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mnist.pkl.gz"
    path.write_bytes(gzip.compress(HOSTILE[what]))
    wrong = pytest.raises(ValueError, match=r"mnist\.pkl\.gz must hold the three pairs")
    with memory_below(200e6), wrong as caught:
        start = time.perf_counter()
        load_data(path)
    assert time.perf_counter() - start < 5
    assert os.listdir(tmp_path) == ["mnist.pkl.gz"]
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_a_compressed_bomb_of_a_pickle_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "mnist.pkl.gz"
    path.write_bytes(gzip.compress(bytes(2**28), 1))
    assert path.stat().st_size < 2**21
    with memory_below(200e6), pytest.raises(ValueError, match="more than 67,108,864 bytes"):
        load_data(path)


@contextmanager
def memory_below(most: float) -> Iterator[None]:
    """Check that the block needs fewer bytes of memory at a time."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most


# .npz.


def npz(folder: Path, **arrays: Any) -> Path:
    np.savez_compressed(folder / "own.npz", **arrays)
    return folder / "own.npz"


def test_all_data_in_one_array_are_split_in_three(tmp_path: Path) -> None:
    path = npz(tmp_path, data=TRAIN[0].reshape(N, -1), target=TRAIN[1])
    sets = load_data(path, np.uint8)
    assert rows(*sets) == expected(TRAIN)
    assert [len(d) for d in sets] == [42, 8, 10]


@pytest.mark.parametrize("maps", [1, 3])
def test_images_with_their_maps_last_are_read_as_maps(maps: int, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 7, 5, maps), np.uint8)
    path = npz(tmp_path, train_images=images, train_labels=np.arange(60) % 10)
    training, *_ = load_data(path, np.uint8)
    assert training.shape == (maps, 7, 5)
    np.testing.assert_array_equal(training.images[0], images[0].transpose(2, 0, 1).ravel())


def test_several_labels_of_an_image_may_be_whole_floats(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 2, (60, 3)).astype(np.float64)
    path = npz(tmp_path, x_train=np.zeros((60, 4), np.uint8), y_train=labels)
    training, *_ = load_data(path)
    assert training.is_multi_label


def test_a_validation_set_in_the_file_is_taken(tmp_path: Path) -> None:
    arrays = {"x_train": TRAIN[0], "y_train": TRAIN[1], "x_val": TEST[0], "y_val": TEST[1]}
    training, validation, _ = load_data(npz(tmp_path, **arrays), np.uint8)
    assert rows(validation) == expected(TEST)
    assert len(training) == 50


def test_arrays_in_fortran_order_are_read_as_they_are(tmp_path: Path) -> None:
    path = npz(tmp_path, x=np.asfortranarray(TRAIN[0]), y=TRAIN[1])
    assert rows(*load_data(path, np.uint8)) == expected(TRAIN)


def bomb(folder: Path) -> Path:
    """Write 20 MB of zeros, packed into 20 kB."""
    path = folder / "own.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, shape, dtype in (("x", (20_000, 1000), "|u1"), ("y", (20_000,), "<i8")):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                header = {"descr": dtype, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                file.write(bytes(20_000 * (1000 if name == "x" else 8)))
    return path


def test_a_bomb_is_refused_before_it_unpacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bomb(tmp_path)
    monkeypatch.setattr(npz_files, "FREE", 10_000_000)  # in earnest 64 MB
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"own\.npz cannot be read.*claims to unpack"):
        load_data(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": TRAIN[0]}, "has the arrays a, but x_train and y_train are needed"),
        ({"x": np.array([{}]), "y": np.array([1])}, "numbers in 4 dimensions at most"),
        ({"x": TRAIN[0], "y": np.array(["a"] * N)}, "numbers in 4 dimensions at most"),
        ({"x": TRAIN[0], "y": TRAIN[1] + 0.5}, "labels must be integers"),
        ({"x": TRAIN[0], "y": np.full(N, np.inf)}, "labels must be integers"),
        ({"x": TRAIN[0], "y": TRAIN[1][:-1]}, "one for each image"),
        ({f"a{i}": np.array(i) for i in range(101)}, "more than 100 members"),
    ],
    ids=range(7),
)
def test_arrays_that_are_no_images_are_refused(
    arrays: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=rf"own\.npz cannot be read as \.npz: .*{message}"):
        load_data(npz(tmp_path, **arrays))


def test_a_header_that_claims_another_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    array = io.BytesIO()
    np.save(array, TRAIN[0])
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", array.getvalue().replace(b"(60, 4, 3)", b"(10**9, 3)"))
        archive.writestr("y.npy", array.getvalue().replace(b"(60, 4, 3)", b"(60, 4, 9)"))
    with pytest.raises(ValueError, match="cannot be read as"):
        load_data(path)


# Damaged files.


def sources(folder: Path) -> dict[str, bytes]:
    """Return a good file of each format."""
    npz(folder, data=TRAIN[0], target=TRAIN[1])
    write_csv(folder / "own.csv", TRAIN, f"label,{PIXELS}")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return files | {f"{i}.pkl": pickle.dumps(three_pairs(), i) for i in (0, 2, 5)}


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_file_is_one_error_in_bounded_time_and_memory(tmp_path: Path) -> None:
    files = sources(tmp_path)
    rng, messages = random.Random(5), list[str]()
    for _ in range(500):
        name = rng.choice(sorted(files))
        content = bytearray(files[name])
        for _ in range(rng.choice([1, 2, 5])):
            place = rng.randrange(min(len(content), rng.choice([300, 10**6])))
            new = rng.randbytes(rng.randrange(4))
            content[place : place + rng.randrange(4)] = new
        path = tmp_path / name
        path.write_bytes(content)
        start = time.perf_counter()
        with memory_below(200e6):
            try:
                load_data(path, np.uint8)
            except ValueError as error:
                messages.append(str(error))
        assert time.perf_counter() - start < 5
    assert len(messages) > 300
    assert all(m.isprintable() and len(m) < 600 for m in messages)


# Pictures.


def test_pictures_sorted_by_class_are_split_class_by_class(tmp_path: Path) -> None:
    write_pictures(tmp_path, TRAIN)
    sets = load_data(tmp_path, np.uint8)
    assert rows(*sets) == expected(TRAIN)
    for data in sets:
        assert set(data.labels) == {0, 1, 2}
        assert np.ptp(np.bincount(data.labels)) <= 1


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: p.write_bytes(b"no picture"), "must be a picture in PNG, JPEG, BMP"),
        (lambda p: p.write_bytes(p.read_bytes()[:45]), r"damaged picture|cannot be read"),
        (lambda p: Image.new("L", (5, 5)).save(p), "one size, but .* has 5 x 5, and others 3 x 4"),
        (lambda p: Image.new("I;16", (3, 4)).save(p), "8 bits per pixel"),
        (lambda p: Image.new("1", (2000, 2000)).save(p), "1,048,576 pixels at most"),
    ],
    ids=range(5),
)
def test_a_picture_that_does_not_fit_is_named(spoil: Any, message: str, tmp_path: Path) -> None:
    write_pictures(tmp_path, TRAIN)
    spoil(tmp_path / "1" / "004.png")
    with pytest.raises(ValueError, match=rf"004\.png.*{message}|{message}"):
        load_data(tmp_path)


def test_colors_become_gray_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    write_pictures(tmp_path, TRAIN)
    Image.new("RGB", (3, 4), (255, 255, 255)).save(tmp_path / "0" / "zzz.png")
    (tmp_path / "0" / ".DS_Store.png").write_text("not a picture")
    (tmp_path / "0" / "notes.txt").write_text("not a picture")
    sets = load_data(tmp_path, np.uint8)
    assert sum(map(len, sets)) == N + 1
    assert (0, bytes([255] * 12)) in rows(*sets)


def test_ink_on_a_transparent_ground_is_seen(tmp_path: Path) -> None:
    write_pictures(tmp_path, TRAIN)
    picture = Image.new("RGBA", (3, 4))  # transparent, and black below
    picture.putpixel((1, 2), (0, 0, 0, 255))
    picture.save(tmp_path / "0" / "zzz.png")
    sets = load_data(tmp_path, np.uint8)
    assert (0, bytes([255] * 7 + [0] + [255] * 4)) in rows(*sets)


# Split.


def sorted_by_class(n: int) -> Dataset:
    labels = np.sort(np.arange(n) % 10)
    return Dataset(np.arange(n, dtype=np.float32)[:, None] / n, labels, "sorted")


def test_a_set_sorted_by_class_is_split_class_by_class_in_order() -> None:
    rest, last = split(sorted_by_class(120))
    assert np.bincount(last.labels).tolist() == [2] * 10
    assert np.bincount(rest.labels).tolist() == [10] * 10
    for part in (rest, last):
        assert (np.diff(part.images[:, 0]) > 0).all()
    assert last.images[0, 0] > rest.images[9, 0]


def test_a_mixed_set_is_split_at_one_place_without_copying() -> None:
    data = sorted_by_class(1200)[np.random.default_rng(0).permutation(1200)]
    rest, last = split(data)
    assert (len(rest), len(last)) == (1000, 200)
    assert np.shares_memory(last.images, data.images)
    np.testing.assert_array_equal(last.images, data.images[1000:])


def test_a_class_that_stands_only_at_the_end_is_in_both_parts() -> None:
    labels = [0, 1] * 50 + [0, 2] * 10  # the last sixth has all of class 2, and some of 0
    rest, last = split(Dataset(np.zeros((120, 4), np.float32), np.array(labels)))
    assert np.bincount(rest.labels).tolist() == [50, 42, 9]
    assert np.bincount(last.labels).tolist() == [10, 8, 1]


def test_a_class_with_one_image_stays_in_training() -> None:
    data = Dataset(np.zeros((13, 4), np.float32), np.array([0] * 6 + [1] * 6 + [2]))
    rest, last = split(data)
    assert set(rest.labels) == {0, 1, 2}
    assert last.labels.tolist() == [0, 1]


@pytest.mark.parametrize(("n", "parts"), [(5, 6), (0, 6), (10, 1)])
def test_a_split_that_cannot_be_made_is_refused(n: int, parts: int) -> None:
    with pytest.raises(ValueError, match=f"cannot split {n} images into {parts} parts"):
        split(sorted_by_class(20)[:n], parts)


def test_a_class_that_training_lacks_is_warned_of(tmp_path: Path) -> None:
    path = npz(tmp_path, x_train=TRAIN[0], y_train=TRAIN[1], x_test=TEST[0], y_test=TEST[1] + 2)
    with pytest.warns(UserWarning, match="lacks the labels 3, 4, which the test set has"):
        load_data(path)


# Paths.


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("~nosuchuser/mnist", "names an unknown user"),
        ("nowhere", "nowhere is not there"),
        ("fifo", "fifo is neither a folder nor a regular file"),
        ("/dev/zero", "neither a folder nor a regular file"),
        ("loop", "loop is not there"),
        ("nul\0", "is not there"),
        ("empty", "but has none of them"),
        ("mnist.mat", "must end in .npz, .pkl, .pkl.gz or .csv"),
        ("mnsit", "auto, mnist, synthetic, or a folder, .* or one of fashion-mnist, kmnist"),
    ],
)
def test_a_path_without_data_is_one_error(
    path: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    Path("loop").symlink_to("loop")
    Path("empty").mkdir()
    Path("mnist.mat").write_text("not read")
    with pytest.raises((OSError, ValueError), match=message):
        load_data(path)


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[31mred", "a\udcffb"])
@pytest.mark.parametrize("form", [idx, csv_with_header, keras, pictures])
def test_a_folder_of_any_name_is_read_and_named_in_one_line(
    form: Any, name: str, tmp_path: Path
) -> None:
    (tmp_path / name).mkdir()
    path = form(tmp_path / name)
    assert len(load_data(path)[2]) == M
    folder = path if path.is_dir() else path.parent
    for file in [p for p in folder.rglob("*") if p.is_file()]:
        file.write_bytes(b"1,2\n1,\n")
    with pytest.raises(ValueError, match=r"not|must|cannot") as caught:
        load_data(path)
    assert str(caught.value).isprintable()


@pytest.mark.filterwarnings("ignore:the training set lacks the labels")
def test_few_images_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    write_csv(path, small(5))
    with pytest.raises(ValueError, match="6 training images or more"):
        load_data(path)
    for n in range(6, 20):
        write_csv(path, small(n))
        assert all(map(len, load_data(path)))


def test_the_synthetic_sets_have_the_sizes_of_the_table_and_share_no_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = synthetic_digits(34, 0, np.uint8)
    monkeypatch.setattr("nndl.data.load.synthetic_digits", lambda n, rng, dtype: drawn[:n])
    assert SYNTHETIC_SIZES == (20_000, 4_000, 4_000)
    monkeypatch.setattr("nndl.data.load.SYNTHETIC_SIZES", (20, 9, 5))
    parts = load_data("synthetic", np.uint8)
    assert [len(part) for part in parts] == [20, 9, 5]
    np.testing.assert_array_equal(np.concatenate([part.images for part in parts]), drawn.images)


def test_auto_falls_back_to_synthetic_digits_with_a_warning_even_without_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NNDL_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(mnist_module, "MIRRORS", [])
    monkeypatch.setattr(load, "SYNTHETIC_SIZES", (60, 20, 20))
    training, *_ = load_data("auto", np.uint8)
    assert training.name == "synthetic digits training"
    assert "falling back to SYNTHETIC DIGITS" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stderr", None)
    assert len(load_data("auto", np.uint8)[0]) == 60


# CSV as pandas writes it: names 0, 1, 2, ... for columns without any, and an index.


@pytest.mark.parametrize(
    ("header", "index"),
    [
        ("0,1,2,3,4", False),
        ("label,a,b,c,d", False),
        (",label,a,b,c,d", True),
        (",0,1,2,3,4", True),
    ],
)
def test_the_header_and_the_index_of_pandas_are_no_data(
    tmp_path: Path, header: str, index: bool
) -> None:
    labels = np.arange(24) % 3
    pixels = 4 * np.arange(96).reshape(24, 4) % 17
    table = np.column_stack([labels, pixels])
    lines = [header]
    for i, numbers in enumerate(table):
        lines.append(",".join(map(str, ([i] if index else []) + numbers.tolist())))
    (tmp_path / "train.csv").write_text("\n".join(lines) + "\n")
    sets = load_data(tmp_path / "train.csv")
    assert sum(map(len, sets)) == 24
    found = {(int(label), *(16 * image)) for d in sets for image, label in zip(*d, strict=True)}
    assert found == {tuple(map(int, numbers)) for numbers in table}


def test_raw_pixels_are_asked_for_in_vain_of_float64(tmp_path: Path) -> None:
    """What is no whole number of 256ths becomes float32, as the message of `load_data` says."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", data=rng.random((30, 9)), target=np.arange(30) % 3)
    assert [data.images.dtype for data in load_data(tmp_path / "a.npz", np.uint8)] == ["f4"] * 3


@pytest.mark.parametrize("names", [("Train", "Test"), ("train", "TEST"), ("Training", "testing")])
def test_folders_of_parts_are_found_in_any_case(tmp_path: Path, names: tuple[str, str]) -> None:
    for name, n in zip(names, (12, 4), strict=True):
        for i in range(n):
            folder = tmp_path / name / str(i % 2)
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((3, 3), 10 * i, np.uint8)).save(folder / f"{i}.png")
    assert [len(data) for data in load_data(tmp_path)] == [10, 2, 4]
