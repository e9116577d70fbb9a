"""Progress: a line after every epoch, and a progress bar within it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from nndl.bars import progress_bar
from nndl.training.history import History

__all__ = ["show_progress"]


class _Silent:
    def advance(self, done: int) -> None:
        """Show how many images of the epoch are done."""

    def report(self, history: History) -> None:
        """Show the results of the latest epoch."""


class _Lines(_Silent):
    """One line per epoch on standard output, and a bar on a terminal or in a notebook."""

    def __init__(self, n: int) -> None:
        self.bar = progress_bar(n, " images")

    def advance(self, done: int) -> None:
        if done < self.bar.n:  # the next epoch
            self.bar.reset()
        self.bar.update(done - self.bar.n)

    def report(self, history: History) -> None:
        epoch, row = len(history) - 1, {k: v[-1] for k, v in history.epochs.items()}
        parts = [f"epoch {epoch:2d}"]
        for key, value in row.items():
            if key.endswith("_cost"):
                name = key.removesuffix("_cost")
                accuracy = row.get(name + "_accuracy")
                shown = "" if accuracy is None else f" {100 * accuracy:.2f} % "
                parts.append(f"{name}{shown} cost {value:.4f}")
        parts += [f"eta {row['eta']:g}", f"{row['seconds']:.2f} s"]
        if sys.stdout is not None:  # without a console, as under pythonw, it is None
            self.bar.write("  ".join(parts), file=sys.stdout)
            sys.stdout.flush()
        # A notebook hides a bar that is complete, and leaves one that was interrupted in red.
        self.bar.update(self.bar.total - self.bar.n)
        self.bar.set_postfix_str(parts[1] if len(parts) > 3 else "")


@contextmanager
def show_progress(show: bool, n: int) -> Iterator[_Silent]:
    """Yield the object that `train` reports to; it prints nothing unless ``show``."""
    if not show:
        yield _Silent()
        return
    lines = _Lines(n)
    with lines.bar:
        yield lines
