"""Large PNG files in strips: Pillow decodes a PNG file whole, in 4 bytes for each pixel of color.

A row of a PNG file is stored as its difference from the row above ("filtered"; W3C, "Portable
Network Graphics (PNG) Specification", section 9). So each strip is given to Pillow as a PNG file of
its own that begins with the last row of the strip before, unfiltered.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageFile

__all__ = ["fits", "strips"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHUNK = 1 << 16  # bytes that are read at a time


def strips(path: Path, picture: Image.Image, rows: int) -> Iterator[Image.Image]:
    """Yield a picture in strips of ``rows`` rows, from the top; the last one may be shorter.

    Parameters
    ----------
    path : Path
        A PNG file in which `fits` holds.
    picture : Image
        The same file, as opened by Pillow; it is not decoded.
    rows : int

    Raises
    ------
    ValueError, zlib.error
        If the file ends too early or is damaged.
    """
    width, height = picture.size
    channels = len(picture.getbands())
    length = 1 + width * channels  # bytes of a row: which filter, and the numbers
    above = bytes(length)  # filter 0, none: the row above the first is black
    with path.open("rb") as file:
        data = _Inflated(file)
        for top in range(0, height, rows):
            n = min(rows, height - top)
            color = 2 if channels == 3 else 6
            header = struct.pack(">IIBBBBB", width, n + 1, 8, color, 0, 0, 0)
            pixels = zlib.compress(above + data.read(n * length), 0)
            chunks = ((b"IHDR", header), *data.kept, (b"IDAT", pixels), (b"IEND", b""))
            with Image.open(io.BytesIO(SIGNATURE + b"".join(map(_chunk, chunks)))) as strip:
                above = b"\0" + strip.crop((0, n, width, n + 1)).tobytes()
                yield strip.crop((0, 1, width, n + 1))


def fits(picture: Image.Image) -> bool:
    """Return whether a picture that Pillow has opened is a PNG file that `strips` can read.

    It must have 8-bit colors, one frame, and all rows in order.
    """
    return (
        isinstance(picture, ImageFile.ImageFile)
        and picture.format == "PNG"
        and picture.mode in ("RGB", "RGBA")
        and getattr(picture, "n_frames", 1) == 1
        and [tile[0] for tile in picture.tile] == ["zip"]
        and picture.tile[0][3] == picture.mode  # not 16 bits, which Pillow shortens
        and not picture.info.get("interlace")
    )


def _chunk(chunk: tuple[bytes, bytes]) -> bytes:
    name, data = chunk
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


class _Inflated:
    """The decompressed bytes of a PNG file; ``kept`` are chunks that each strip needs."""

    def __init__(self, file: BinaryIO) -> None:
        self.kept: list[tuple[bytes, bytes]] = []
        self._compressed = self._idat(file)
        self._inflate = zlib.decompressobj()
        self._rest = next(self._compressed, b"")

    def read(self, n: int) -> bytes:
        parts: list[bytes] = []
        while n:
            part = self._inflate.decompress(self._rest, n)
            self._rest = self._inflate.unconsumed_tail
            parts.append(part)
            n -= len(part)
            if n and not self._rest:
                self._rest = next(self._compressed, b"")
                if not self._rest and not part:
                    raise ValueError("the file is truncated")
        return b"".join(parts)

    def _idat(self, file: BinaryIO) -> Iterator[bytes]:
        """Yield the compressed bytes, and check them."""
        file.seek(len(SIGNATURE))
        seen_idat = False
        while len(start := file.read(8)) == 8:
            length, name = struct.unpack(">I4s", start)
            if name == b"IEND":
                return
            seen_idat |= name == b"IDAT"
            crc, left = zlib.crc32(name), length
            while left and (data := file.read(min(left, CHUNK))):
                left -= len(data)
                crc = zlib.crc32(data, crc)
                if name == b"IDAT":
                    yield data
                elif name == b"tRNS" and length == 6 and not self.kept and not seen_idat:
                    self.kept.append((name, data))  # the transparent color, of 16 bits a channel
            if left == 0 and file.read(4) != struct.pack(">I", crc):
                raise ValueError(f"the checksum of chunk {name!r} is wrong")
