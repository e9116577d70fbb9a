"""Pictures from files: any format that Pillow reads, reduced while they are decoded."""

from __future__ import annotations

import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError  # Pillow comes with Matplotlib

from nndl.data.photo import png

__all__ = ["Picture", "open_picture", "read_picture"]

# What Pillow raises, beside OSError, for a file that is damaged.
DAMAGED = (ArithmeticError, EOFError, SyntaxError, TypeError, ValueError, struct.error, zlib.error)

LONGEST = 2000  # pixels of the longer side that are kept
BAND = 2_000_000  # pixels that are converted at a time
STRIPS = 16_000_000  # pixels above which a PNG file is decoded in strips
HEIC = (b"heic", b"heix", b"hevc", b"mif1", b"msf1")  # brands in the first bytes of such files
UPRIGHT = {5, 6, 7, 8}  # EXIF orientations that exchange width and height


@dataclass(frozen=True)
class Picture:
    """A picture in shades of gray.

    Attributes
    ----------
    brightness : ndarray of float32, shape (height, width)
        From 0, black, to 1, white; at most 2,000 pixels on the longer side.
    size : tuple of int
        Width and height of the file's picture, as the camera was held.
    frames : int
        Pictures in the file, of which this is the first.
    """

    brightness: NDArray[np.float32]
    size: tuple[int, int]
    frames: int = 1


def read_picture(path: str | Path) -> NDArray[np.float32]:
    """Return the brightness of the picture in a file; see `open_picture`."""
    return open_picture(path).brightness


def open_picture(path: str | Path) -> Picture:
    """Read a picture in any format that Pillow knows, as the camera was held.

    HEIC, the format of iPhones, is read if the package ``pillow-heif`` is installed. Of a file with
    several pictures the first is read.

    Returns
    -------
    Picture
        What is transparent is white, or black behind a drawing that is light and has no dark in it.

    Raises
    ------
    OSError
        If the file cannot be read, is not a picture or not a regular file, or has more pixels than
        Pillow thinks safe.
    """
    path = Path(path)
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(f"{path} should be a picture, but is not a regular file; give a file")
    _register_heif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damaged metadata
            with Image.open(path) as file:
                return _decoded(file, path)
    except UnidentifiedImageError:
        with path.open("rb") as raw:
            start = raw.read(12)
        if start[4:8] == b"ftyp" and start[8:12] in HEIC:
            raise OSError(
                f"{path} is a HEIC picture, which needs the package pillow-heif; install it with "
                'pip install "nndl[photo]", or convert the picture to JPEG'
            ) from None
        raise OSError(
            f"{path} should be a picture, like a PNG or JPEG file, but is not; convert it to PNG"
        ) from None
    except (*DAMAGED, Image.DecompressionBombError) as error:
        raise OSError(f"{path} cannot be read as a picture: {error}; save it again") from None


def _register_heif() -> None:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return
    register_heif_opener()


def _decoded(file: Image.Image, path: Path) -> Picture:
    """Decode a file that Pillow has opened, in memory for little more than its pixels."""
    if file.format == "TIFF":
        file.load()  # which turns it upright, and removes the tag
    width, height = file.size
    in_strips = width * height > STRIPS and png.fits(file)
    # Of a PNG file, Pillow decodes all to look for EXIF data behind the pixels. The method of the
    # base class reads what stands before them: eXIf, the text of ImageMagick, or XMP.
    exif = Image.Image.getexif(file) if in_strips else file.getexif()
    orientation = exif.get(0x0112, 1)
    frames = int(getattr(file, "n_frames", 1)) if file.format != "MPO" else 1
    file.draft(None, (LONGEST, LONGEST))  # JPEG is decoded at a half, a quarter or an eighth
    small = _reduced(file, path, in_strips=in_strips)
    upright = small
    if orientation != 1:
        small.getexif()[0x0112] = orientation
        upright = ImageOps.exif_transpose(small)
    gray = np.asarray(on_paper(upright).convert("L"), np.float32)
    size = (height, width) if orientation in UPRIGHT else (width, height)
    return Picture(gray / np.float32(255), size, frames)


def _reduced(file: Image.Image, path: Path, *, in_strips: bool) -> Image.Image:
    """Return the picture in mode RGBA with at most LONGEST pixels on the longer side.

    It is converted band by band: whole, the copy would take more memory than the picture.
    """
    width, height = file.size
    factor = -(-max(width, height) // LONGEST)
    rows = factor * max(1, BAND // (width * factor))
    bands = png.strips(path, file, rows) if in_strips else _bands(file, rows)
    small = Image.new("RGBA", (-(-width // factor), -(-height // factor)))
    for i, band in enumerate(bands):
        small.paste(band.convert("RGBA").reduce(factor), (0, i * rows // factor))
    return small


def _bands(picture: Image.Image, rows: int) -> Iterator[Image.Image]:
    """Decode a picture, and yield ``rows`` rows of it at a time, in 8 bits."""
    picture.load()
    width, height = picture.size
    white = _white(picture) if picture.mode[0] in "IF" else 0.0
    for top in range(0, height, rows):
        band = picture.crop((0, top, width, min(top + rows, height)))
        if white:  # more than 8 bits, which convert would cut off
            deep = np.asarray(band, np.float32)
            band = Image.fromarray(
                np.rint(255 * (deep / np.float32(white)).clip(0, 1)).astype(np.uint8)
            )
        yield band


def _white(picture: Image.Image) -> float:
    """Return the number for white in a mode that does not say how many bits are used."""
    largest = float(np.asarray(picture).max())
    if picture.mode == "F" and largest <= 1:
        return 1.0
    bits = next((bits for bits in (8, 10, 12, 14, 16) if largest < 2**bits), 32)
    return 2.0**bits - 1


def on_paper(picture: Image.Image) -> Image.Image:
    """Put white behind what is transparent, or black behind a light drawing without dark in it."""
    visible = np.asarray(picture.getchannel("A")) > 127
    light = np.asarray(picture.convert("L"))[visible]
    chalk = 0 < visible.mean() < 0.5 and np.percentile(light, 1) > 127
    paper = Image.new("RGBA", picture.size, "black" if chalk else "white")
    paper.alpha_composite(picture)
    return paper
