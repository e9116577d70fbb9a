"""The real MNIST, downloaded once and verified always; and other data sets in its files.

The files are those of Y. LeCun, C. Cortes and C. Burges, which every mirror carries byte for byte.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from nndl.data.idx import read_labeled_images
from nndl.dataset import Dataset, check_dtype

__all__ = ["load_folder", "load_mnist"]

FILES = {  # name: (bytes, SHA-256)
    "train-images-idx3-ubyte.gz": (
        9_912_422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    "train-labels-idx1-ubyte.gz": (
        28_881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    "t10k-images-idx3-ubyte.gz": (
        1_648_877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    "t10k-labels-idx1-ubyte.gz": (
        4_542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
}
MIRRORS = [  # in the order in which they are tried
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/ae608a02b796c9ee908c082585a5f006fe05258e/",
]
PATIENCE = 5.0  # seconds in which a mirror must send PIECE bytes: none costs us more than this
PIECE = 2**14


def load_mnist(
    data_dir: str | Path | None = None, *, dtype: DTypeLike = np.float32, download: bool = True
) -> tuple[Dataset, Dataset, Dataset]:
    """Return training, validation and test set: the book's split, in the original order.

    The files lie in the sub-folder ``mnist`` of ``data_dir``, of the environment variable
    NNDL_DATA_DIR, or of the platform's folder for caches. Whatever is missing or damaged there is
    downloaded from the first mirror that works; the SHA-256 of every file is checked at every call.

    Parameters
    ----------
    data_dir : str or Path, optional
        In place of NNDL_DATA_DIR.
    dtype : float32, float64 or uint8
        Of the images: raw/256 as in the book, or the raw pixels for uint8.
    download : bool
        Whether the network may be used.

    Returns
    -------
    training, validation, test : Dataset
        50,000, 10,000 and 10,000 images in rows of 784, and their labels as integers.

    Raises
    ------
    OSError
        If files are missing and cannot be downloaded or written: it says why, for each mirror,
        and where to put them by hand.
    ValueError
        For another dtype.
    """
    folder = _cache(data_dir) / "mnist"
    missing = [name for name in FILES if not _is_whole(folder / name, name)]
    if missing and not download:
        raise FileNotFoundError(
            f"{', '.join(missing)} should be whole in {folder}, but are not: allow the download, "
            "or put them there by hand"
        )
    if missing:
        _download(missing, folder)
    images, labels, test_images, test_labels = (folder / name for name in FILES)
    train = read_labeled_images(images, labels, "MNIST")
    test = read_labeled_images(test_images, test_labels, "MNIST")
    return _split(train, test, 50_000, dtype)


def load_folder(
    folder: str | Path, *, dtype: DTypeLike = np.float32
) -> tuple[Dataset, Dataset, Dataset]:
    """Return training, validation and test set of a folder with four files in MNIST's format.

    Such are Fashion-MNIST, KMNIST and EMNIST. File names end like MNIST's own, or with ``test`` in
    place of ``t10k``; they may begin with the name of the set, have a dot for the second hyphen,
    and be gzipped or not. The last sixth of the training images validates. Images are taken as they
    are stored: those of EMNIST lie transposed in its files, with rows for columns.

    Parameters
    ----------
    folder : str or Path
        Its name is the name of the data set.
    dtype : float32, float64 or uint8
        As for `load_mnist`.

    Raises
    ------
    FileNotFoundError
        If the folder does not have exactly one file of each kind.
    ValueError
        If a file is not what it should be.
    """
    folder = Path(folder).expanduser()

    def find(part: str, kind: str) -> Path:
        pattern = f"*{part}-{kind}[.-]idx?-ubyte"
        found = sorted([*folder.glob(pattern), *folder.glob(f"{pattern}.gz")])
        if len(found) != 1:
            hint = "; its sub-folder mnist has them" if (folder / "mnist").is_dir() else ""
            raise FileNotFoundError(
                f"{folder} should have one file {pattern}, gzipped or not, but has "
                f"{[p.name for p in found] or 'none'}{hint}"
            )
        return found[0]

    name = folder.resolve().name
    train = read_labeled_images(find("train", "images"), find("train", "labels"), name)
    last = "t10k" if any(folder.glob("*t10k-images*")) else "test"
    test = read_labeled_images(find(last, "images"), find(last, "labels"), name)
    labels = np.union1d(train.labels, test.labels)
    if labels.max(initial=0) >= max(10, 2 * len(labels)):  # EMNIST's letters are 1 to 26
        raise ValueError(
            f"the labels in {folder} should number the classes, but go up to {labels.max()} while "
            f"only {len(labels)} of them occur: a file of labels is damaged, or something else"
        )
    if len(train) < 6 or not len(test):
        raise ValueError(
            f"{folder} should have 6 training images or more, the last sixth of which validates, "
            f"and 1 test image or more, but has {len(train)} and {len(test)}"
        )
    return _split(train, test, len(train) - len(train) // 6, dtype)


def _split(
    train: Dataset, test: Dataset, n_training: int, dtype: DTypeLike
) -> tuple[Dataset, Dataset, Dataset]:
    check_dtype(dtype)

    def part(data: Dataset, name: str) -> Dataset:
        images = data.images
        if np.dtype(dtype) != np.uint8:
            images = np.multiply(images, 1 / 256, dtype=dtype)
        return Dataset(images, data.labels, f"{data.name} {name}")

    return (
        part(train[:n_training], "training"),
        part(train[n_training:], "validation"),
        part(test, "test"),
    )


def _cache(data_dir: str | Path | None) -> Path:
    import platformdirs

    try:
        chosen = data_dir or os.environ.get("NNDL_DATA_DIR")
        folder = os.path.expanduser(chosen or platformdirs.user_cache_dir("nndl"))
    except RuntimeError:  # newer versions of platformdirs raise this where others return ~
        folder = "~"
    if str(folder).startswith("~"):
        raise FileNotFoundError(
            "this user has no home folder to keep the files of MNIST in: set NNDL_DATA_DIR to "
            "another folder"
        )
    return Path(folder)


def _is_whole(path: Path, name: str) -> bool:
    try:
        return sha256(path.read_bytes()).hexdigest() == FILES[name][1]
    except (FileNotFoundError, NotADirectoryError):
        return False


def _download(names: list[str], folder: Path) -> None:
    """Fetch files from the first mirror that works; one that fails is not asked again."""
    import requests

    mirrors, failures = list(MIRRORS), list[str]()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".download-", dir=folder) as temporary:
            # pooch gives its files mode 0600; this one has the mode that the umask allows.
            (model := Path(temporary, "mode")).touch()
            for name in names:
                while not _is_whole(folder / name, name):
                    if not mirrors:
                        raise _nothing_works(folder, failures)
                    try:
                        part = _retrieve(mirrors[0] + name, name, temporary)
                    except (requests.RequestException, TimeoutError, ValueError) as error:
                        failures.append(f"{mirrors.pop(0)}: {_reason(error)}")
                    else:
                        os.chmod(part, model.stat().st_mode)
                        os.replace(part, folder / name)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(
            error.errno,
            f"{error.strerror}: cannot write the files of MNIST into {folder}; set NNDL_DATA_DIR "
            "to another folder",
        ) from error


def _retrieve(url: str, name: str, folder: str) -> str:
    size, digest = FILES[name]
    with warnings.catch_warnings():
        # pooch imports tqdm.auto, which warns in notebooks without ipywidgets.
        warnings.filterwarnings("ignore", "IProgress not found")
        import pooch
    pooch.get_logger().setLevel("WARNING")
    path: str = pooch.retrieve(
        url, f"sha256:{digest}", fname=name, path=folder, downloader=partial(_fetch, size=size)
    )
    return path


def _fetch(url: str, path: str, _: Any, size: int) -> None:
    """Download what should have so many bytes to a path; a pooch downloader.

    A thread of its own reads, because a name server, a connection or a drip of single bytes can
    each take for ever in a way that no timeout of a socket ends.
    """
    from tqdm import tqdm

    pieces: SimpleQueue[bytes | Exception] = SimpleQueue()
    threading.Thread(target=_read, args=(url, size, pieces.put), daemon=True).start()
    got = 0
    with (
        open(path, "wb") as file,
        tqdm(total=size, unit="B", unit_scale=True, desc=url, leave=False, disable=None) as bar,
    ):
        while True:
            try:
                piece = pieces.get(timeout=PATIENCE)
            except Empty:
                raise TimeoutError(f"no progress in {PATIENCE:g} s") from None
            if isinstance(piece, Exception):
                raise piece
            if not piece:
                break
            file.write(piece)
            got += len(piece)
            bar.update(len(piece))
    if got != size:
        raise ValueError(f"sent {'more' if got > size else got} instead of {size:,} bytes")


def _read(url: str, size: int, put: Any) -> None:
    try:
        for piece in _pieces(url, size):
            put(piece)
        put(b"")
    except Exception as error:  # to be raised in the thread that waits for it
        put(error)


def _pieces(url: str, size: int) -> Iterator[bytes]:
    import requests

    got = 0
    with requests.get(url, stream=True, timeout=PATIENCE) as response:
        response.raise_for_status()
        for piece in response.iter_content(PIECE):
            yield piece
            got += len(piece)
            if got > size:  # it is not our file, however much more of it there is
                return


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, ValueError) and "hash" in str(error):
        return "sent other content than the published file (its SHA-256 differs)"
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"{error.response.status_code} {error.response.reason}"
    # What requests wraps in urllib3's errors is said by the innermost, after a colon.
    inner: Any = error
    while isinstance(getattr(inner, "reason", None) or (inner.args or [0])[0], Exception):
        inner = getattr(inner, "reason", None) or inner.args[0]
    return f"{type(error).__name__}: {str(inner).rpartition('): ')[2]}"


def _nothing_works(folder: Path, failures: list[str]) -> OSError:
    return OSError(
        f"MNIST could not be downloaded: {'; '.join(failures)}. Put the files {', '.join(FILES)} "
        f"into {folder} by hand, or set NNDL_DATA_DIR to a folder with a sub-folder mnist that "
        "has them"
    )
