"""Photographs, scans and drawings of digits: read, and made like the images of MNIST.

A network that was trained on MNIST reads images like MNIST's: white on black, fitted into 20 x 20
pixels, centered by mass in 28 x 28 (LeCun, Cortes and Burges, "The MNIST database"). It cannot read
ink on paper as a camera sees it. So `files` decodes a picture, `ink` separates ink from paper,
`segment` finds pieces of ink and lines of them, `normalize` makes an image of each candidate, and
`reading` lets the network choose among the candidates.
"""

from nndl.data.photo.files import Picture, open_picture, read_picture
from nndl.data.photo.reading import Digit, Reading, mnist_like, read_digits

__all__ = [
    "Digit",
    "Picture",
    "Reading",
    "mnist_like",
    "open_picture",
    "read_digits",
    "read_picture",
]
