"""Folders of pictures, one for each class: ``train/0/*.png``, ``test/0/*.png`` and so on."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nndl.dataset import Dataset
from nndl.text import printable

__all__ = ["class_folders", "read_picture_folders"]

PARTS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp"}
FORMATS = ("PNG", "JPEG", "BMP")
LARGEST = 2**20  # pixels of a picture
# What Pillow raises, beside OSError, for a file that only begins like a picture.
DAMAGED = (ArithmeticError, EOFError, SyntaxError, TypeError, ValueError, struct.error)


def class_folders(folder: Path) -> dict[str, list[Path]]:
    """Return the pictures in each sub-folder that has some, by the name of the sub-folder."""
    found = {}
    for sub in sorted(folder.iterdir()):
        if sub.is_dir() and not sub.name.startswith("."):
            paths = [p for p in sorted(sub.iterdir()) if _is_picture(p)]
            if paths:
                found[sub.name] = paths
    return found


def read_picture_folders(folder: Path) -> dict[str, Dataset]:
    """Read the pictures of a folder, whose sub-folders are classes, or parts with classes.

    Parts are train (or training), val (valid, validation) and test (testing), in upper or lower
    case. Class folders with integers as names have these as labels; others are numbered in
    alphabetical order. Pictures are PNG, JPEG or BMP, all of one size. They are made gray, and
    their values are kept: for a network trained on MNIST, ink should be light on dark paper. Behind
    what is transparent is white, or black for a light drawing.

    Returns
    -------
    dict of str to Dataset
        "train", and "validation" and "test" where they are there; {} if there are no pictures.

    Raises
    ------
    ValueError
        If a picture is damaged or of another size.
    """
    parts, folders = {}, {sub.name.lower(): sub for sub in sorted(folder.iterdir()) if sub.is_dir()}
    for part, names in PARTS.items():
        subs = [folders[name] for name in names if name in folders]
        classes = class_folders(subs[0]) if subs else {}
        if classes:
            parts[part] = classes
    if not parts and (classes := class_folders(folder)):
        parts["train"] = classes
    if not parts:
        return {}
    if "train" not in parts:
        raise ValueError(
            f"{printable(folder)} has pictures in {', '.join(parts)}, but none in train"
        )
    numbers = _numbers(folder, {name for classes in parts.values() for name in classes})
    with _open(next(iter(parts["train"].values()))[0]) as first:
        size = first.size
    return {part: _read(classes, numbers, size, folder.name) for part, classes in parts.items()}


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _numbers(folder: Path, names: set[str]) -> dict[str, int]:
    """Return the label of each class folder."""
    if all(name.isascii() and name.isdigit() for name in names):
        numbers = {name: int(name) for name in names}
        if max(numbers.values()) < max(10, 2 * len(names)) and len(set(numbers.values())) == len(
            names
        ):
            return numbers
    return {name: i for i, name in enumerate(sorted(names))}


def _read(
    classes: dict[str, list[Path]], numbers: dict[str, int], size: tuple[int, int], name: str
) -> Dataset:
    n = sum(map(len, classes.values()))
    images = np.empty((n, size[1], size[0]), np.uint8)
    labels = np.repeat([numbers[c] for c in classes], [len(paths) for paths in classes.values()])
    paths = (path for paths in classes.values() for path in paths)
    for i, path in enumerate(paths):
        images[i] = _gray(path, size)
    return Dataset(images, labels, name)


def _open(path: Path) -> Any:
    from PIL import Image, UnidentifiedImageError  # Pillow comes with Matplotlib

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about large pictures, which are refused below
            picture = Image.open(path, formats=FORMATS)
    except UnidentifiedImageError:
        raise ValueError(
            f"{printable(path)} must be a picture in {', '.join(FORMATS)}, but is not"
        ) from None
    except (*DAMAGED, Image.DecompressionBombError) as error:
        raise ValueError(
            f"{printable(path)} cannot be read as a picture: {printable(error)}"
        ) from None
    if picture.width * picture.height > LARGEST:
        picture.close()
        raise ValueError(
            f"{printable(path)} must have {LARGEST:,} pixels at most, but has {picture.width} x "
            f"{picture.height}: make the pictures smaller"
        )
    return picture


def _gray(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    with _open(path) as picture:
        if picture.size != size:
            raise ValueError(
                f"all pictures must have one size, but {printable(path)} has {picture.width} x "
                f"{picture.height}, and others {size[0]} x {size[1]}"
            )
        if picture.mode.startswith(("I", "F")):
            raise ValueError(
                f"{printable(path)} must have 8 bits per pixel, but has more: convert it"
            )
        try:
            if "A" in picture.getbands() or "transparency" in picture.info:
                from nndl.data.photo.files import on_paper

                return np.asarray(on_paper(picture.convert("RGBA")).convert("L"))
            return np.asarray(picture.convert("L"))
        except (OSError, *DAMAGED) as error:
            raise ValueError(
                f"{printable(path)} is a damaged picture: {printable(error)}"
            ) from None
