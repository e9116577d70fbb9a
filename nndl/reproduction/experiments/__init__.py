"""Every experiment of the book that trains a network, as tables: one module for each chapter.

Settings come from the book's text and, where the text is silent, from the author's programs. The
names of the experiments are those of docs/book.md. Accuracies are in percent, as in the book.
"""

from nndl.reproduction.experiments.chapter1 import CHAPTER_1
from nndl.reproduction.experiments.chapter3 import CHAPTER_3
from nndl.reproduction.experiments.chapter3_exercises import CHAPTER_3_EXERCISES
from nndl.reproduction.experiments.chapter5 import CHAPTER_5
from nndl.reproduction.experiments.chapter6 import CHAPTER_6
from nndl.reproduction.experiments.record import Experiment

__all__ = ["EXPERIMENTS", "Experiment"]

EXPERIMENTS: dict[str, Experiment] = {
    **CHAPTER_1,
    **CHAPTER_3,
    **CHAPTER_3_EXERCISES,
    **CHAPTER_5,
    **CHAPTER_6,
}
"""All experiments by name, in the order of the book."""
