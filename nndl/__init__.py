"""The networks of Michael Nielsen's book *Neural Networks and Deep Learning*."""

__version__ = "0.1.0"
