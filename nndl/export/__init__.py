"""Exports of a trained network: a page to draw on, and ONNX."""

from nndl.export.page import Page, make_page

__all__ = ["Page", "make_page"]
