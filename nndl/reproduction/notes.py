"""Remarks on the experiments, by name; results/README.md numbers them when it is rendered."""

from __future__ import annotations

__all__ = ["NOTES", "Footnotes"]

NOTES = {
    "exercise": "An exercise or a problem of the book, which gives no number.",
    "best-epoch": "The book does not say whether its number belongs to the best or to the last "
    "epoch, nor how many runs there were. Here it is read as the best epoch of one run.",
    "assumed-start": "The book does not say how the weights of this run were initialized. N(0, 1) "
    "is assumed, since the better initialization is introduced only later.",
    "hundred-images": "Measured on the first 100 validation images only, as in the book's listing: "
    "one image is one percent, so the accuracy jumps from epoch to epoch. The epoch is the last "
    "one that the book prints.",
    "overflow": "The decay factor 1 - eta lmbda/n is -9 here. In float32 the weights overflow in "
    "the first epoch, in float64 in the fourth. This row is run in float64, as the book's code is, "
    "for the three epochs that the book prints. By then all outputs are 0 or 1, and `argmax` takes "
    "the first of equal outputs: most networks predict 0 for everything, and ten of the hundred "
    "images are zeros.",
    "unsettled-accuracy": "The accuracy jumps from epoch to epoch, in the book (12, 14, 25, 18) as "
    "in our runs (between 7 and 50 in 30 epochs), because eta is too large.",
    "unsettled-cost": "With this eta the cost jumps from epoch to epoch: between 0.7 and 1.1 in "
    "the author's file, which is more than the seeds differ at their last epoch.",
    "first-epoch": "The author's number is the first epoch of one random initialization, which "
    "matters much so early in training. With the author's own draws the replay gives his number "
    "exactly.",
    "l1": "The book asks whether L1 regularization can beat the unregularized network (95.49 in "
    "the text). Compare with lambda 0, the same network without it. The strengths are our choice.",
    "schedule": "As in the book's exercise, except that the epochs at eta/128 are trained too: "
    "training ends when eta would be halved once more. In every run the best epoch came earlier.",
    "ties": "Of labels with equal numbers of votes, the one of an earlier network counts. The "
    "author's program, on Python 2, takes the one that comes first in a hash table, with which "
    "one image more would be wrong.",
    "paper": "The number beside ours is that of a paper which the book quotes. The number of "
    "neurons and the kind of distortions are the paper's. Rectified neurons, softmax with the "
    "log-likelihood, initialization, lambda, learning rate, schedule and number of epochs are "
    "ours. With affine distortions they do better than the paper.",
    "close-seeds": "The five seeds happen to lie close together here. With the spread of the other "
    "depths (0.11 to 0.17) the book's number would be inside.",
    "one-start": "The author's norms are those of one random start. They vary by a factor of about "
    "two from start to start; the book's argument rests on their order from layer to layer.",
    "network3": "As in the author's network3: weights start at N(0, 1/n_out) (he later called this "
    "a slip for n_in), biases at N(0, 1), the softmax layer at 0; mini-batches come in the same "
    "order in every epoch; lambda is divided by the number of mini-batches, which makes it ten "
    "times the lambda of chapter 3. The test set is measured at the last of the best validation "
    "epochs, and the best of three is the run with the best validation accuracy. Unlike network3, "
    "where every dropout layer draws with the same seed in every run, every layer of every run "
    "has its own random stream.",
    "plain-network3": "The row above without the peculiarities of network3: weights start at "
    "N(0, 1/n_in), and the training set is reshuffled in every epoch.",
    "no-decay": "With the three smallest lambdas the networks are equal to the last bit: in "
    "float32 the factor 1 - eta lmbda/n of a step rounds to 1 if it differs by 2e-8 or less.",
    "after-last-epoch": "The networks after their last epoch, as in the author's program.",
}


class Footnotes:
    """Numbers notes in the order in which they are first used."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def links(self, names: tuple[str, ...]) -> str:
        """Return Markdown links to the named notes."""
        for name in names:
            self.numbers.setdefault(name, len(self.numbers) + 1)
        return ", ".join(f"[{n}](#notes)" for n in sorted(self.numbers[name] for name in names))

    def render(self) -> str:
        """Return the numbered list of the notes that were used."""
        return "\n".join(f"{n}. {NOTES[name]}" for name, n in self.numbers.items())
