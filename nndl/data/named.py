"""Published data sets in MNIST's format, by name: Fashion-MNIST, KMNIST and EMNIST.

Sources: H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST" (2017), github.com/zalandoresearch/
fashion-mnist; T. Clanuwat and others, "Deep Learning for Classical Japanese Literature" (2018),
codh.rois.ac.jp/kmnist; G. Cohen and others, "EMNIST: an extension of MNIST to handwritten letters"
(2017), www.nist.gov/itl/products-and-services/emnist-dataset.
"""

from __future__ import annotations

import zipfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from nndl.data.download import Files, cache_folder, fetch, is_whole
from nndl.data.idx_folders import read_idx_folder
from nndl.dataset import Dataset
from nndl.files import atomic_write, write_text

__all__ = ["NAMED", "read_named"]


class Published(NamedTuple):
    """The files of a data set, and the beginnings of their URLs."""

    title: str
    files: Files
    mirrors: list[str]


NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
FASHION_MNIST = Published(
    "Fashion-MNIST",
    {
        NAMES[0]: (
            26_421_880,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        NAMES[1]: (
            29_515,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        NAMES[2]: (
            4_422_102,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        NAMES[3]: (
            5_148,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    },
    [
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/"
        "b2617bb6d3ffa2e429640350f613e3291e10b141/data/fashion/",
    ],
)
KMNIST = Published(
    "KMNIST",
    {
        NAMES[0]: (
            18_165_135,
            "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        ),
        NAMES[1]: (
            29_497,
            "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
        ),
        NAMES[2]: (
            3_041_136,
            "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        ),
        NAMES[3]: (
            5_120,
            "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        ),
    },
    [
        "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
    ],
)
ZIP = "gzip.zip"
EMNIST = Published(
    "EMNIST",
    {
        ZIP: (
            561_753_746,
            "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e",
        )
    },
    [
        "https://biometrics.nist.gov/cs_links/EMNIST/",
        "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/",
    ],
)
SPLITS = ("balanced", "byclass", "bymerge", "digits", "letters", "mnist")
NAMED = ("fashion-mnist", "kmnist", *(f"emnist-{split}" for split in SPLITS))
SUMS = "SHA256SUMS"  # of EMNIST's files, as they are in the published archive


def read_named(name: str) -> tuple[Dataset, Dataset]:
    """Return the training and the test set of one of `NAMED`, as raw pixels.

    The files are in a sub-folder of the folder that `nndl.data.load_mnist` describes, called
    "fashion-mnist", "kmnist" or "emnist". They are downloaded if they are missing or damaged: 31,
    21 or 562 MB. The labels of "emnist-letters" are 0 to 25.

    Raises
    ------
    OSError
        As `nndl.data.load_mnist`.
    """
    if name.startswith("emnist-"):
        folder, prefix = _emnist(name), f"{name}-"
    else:
        published = {"fashion-mnist": FASHION_MNIST, "kmnist": KMNIST}[name]
        folder, prefix = cache_folder(name), ""
        missing = [n for n, file in published.files.items() if not is_whole(folder / n, *file)]
        if missing:
            fetch(missing, published.files, published.mirrors, folder, published.title)
    return read_idx_folder(folder, prefix)


def _emnist(name: str) -> Path:
    """Return the folder with the files of a split, after downloading all splits if need be."""
    folder = cache_folder("emnist")
    needed = [
        f"{name}-{part}-{kind}-ubyte.gz"
        for part in ("train", "test")
        for kind in ("images-idx3", "labels-idx1")
    ]
    if not _are_whole(folder, needed):
        if not is_whole(folder / ZIP, *EMNIST.files[ZIP]):
            fetch([ZIP], EMNIST.files, EMNIST.mirrors, folder, EMNIST.title)
        with suppress(FileNotFoundError):  # another process has unpacked and removed it
            _unpack(folder)
        if not _are_whole(folder, needed):
            raise FileNotFoundError(f"{ZIP} of EMNIST must have {', '.join(needed)}, but has not")
        with suppress(OSError):  # the same; or the other one still reads it, on Windows
            (folder / ZIP).unlink()
    return folder


def _are_whole(folder: Path, names: list[str]) -> bool:
    try:
        lines = (folder / SUMS).read_text("utf-8").splitlines()
    except FileNotFoundError:
        return False
    digests = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    return all(_digest(folder / name) == digests.get(name, "") for name in names)


def _digest(path: Path) -> str | None:
    return sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _unpack(folder: Path) -> None:
    """Unpack the verified archive, and note the SHA-256 of each file."""
    sums = []
    with zipfile.ZipFile(folder / ZIP) as archive:
        for member in archive.infolist():
            name = PurePosixPath(member.filename).name
            if name.startswith("emnist-") and name.endswith("-ubyte.gz"):
                content = archive.read(member)
                sums.append(f"{sha256(content).hexdigest()}  {name}\n")
                with atomic_write(folder / name) as file:
                    file.write(content)
    write_text(folder / SUMS, "".join(sums))
