"""Config: every setting of a training run, in one table.

From this table come the flags of ``nndl train``, the file config.json, `Settings`, and the
comparison when a run is resumed.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from nndl.activations import ACTIVATIONS
from nndl.cli.options import Kind, choice, number, optional, text, whole, whole_number
from nndl.costs import COSTS
from nndl.initializers import INITIALIZERS
from nndl.recipes import RECIPES
from nndl.schedules import SCHEDULES
from nndl.text import printable
from nndl.training import Settings

__all__ = ["EXPANSIONS", "OPTIONS", "SAMPLE", "Config", "Option", "add_flags", "settings_given"]

EXPANSIONS = ("none", "fivefold", "shift", "affine", "elastic")

POSITIVE = number("a number above 0", lambda v: v > 0)
NOT_NEGATIVE = number("a number of 0 or more", lambda v: v >= 0)
FRACTION = number("a number from 0 to below 1", lambda v: 0 <= v < 1)
PERCENT = number("a percentage from 1 to 100, like 97.5", lambda v: 1 <= v <= 100)
SAMPLE = 5000
"""Training images that are measured by default."""
YES_OR_NO = Kind("true or false", bool, lambda v: type(v) is bool)


@dataclass(frozen=True)
class Option:
    """What the table says about one setting.

    Parameters
    ----------
    kind : Kind
        The values that it can have; of each item, if it is a list.
    group, help : str
        Where ``--help`` shows it, and what it says there.
    flags : str
        The names on the command line, if there are others than the name of the setting.
    metavar : str, optional
        How ``--help`` shows the value.
    unset : str
        What ``--help`` says about the default, if that is not the value itself.
    many : bool
        Whether it is a list.
    bare : str
        The value of the flag alone, if the flag can stand without a value.
    hyper : str
        Its name in `Settings`, if it is a hyper-parameter.
    may_change : bool
        Whether a resumed run can have another value.
    """

    kind: Kind
    group: str
    help: str
    flags: str = ""
    metavar: str | None = None
    unset: str = ""
    many: bool = False
    bare: str = ""
    hyper: str = ""
    may_change: bool = False


def setting(default: Any, kind: Kind, group: str, help: str, **more: Any) -> Any:
    """Return a field of the table."""
    return field(default=default, metadata={"option": Option(kind, group, help, **more)})


@dataclass(frozen=True, kw_only=True)
class Config:
    """Every setting of a training run.

    Raises
    ------
    ValueError
        If a value is not of the kind that the table names.
    """

    data: str = setting(
        "auto",
        text,
        "data",
        "auto, mnist, synthetic, fashion-mnist, kmnist, emnist-letters, ..., or a folder or file "
        "(docs/data.md); auto is MNIST, or synthetic digits if it is unavailable",
        flags="--data --data-dir",
        metavar="WHICH",
        may_change=True,  # the folder may have moved; that it is the same data is checked
    )
    train_size: int | None = setting(
        None, optional(whole), "data", "use the first N training images", metavar="N", unset="all"
    )
    expand: str = setting(
        "none",
        choice(EXPANSIONS),
        "data",
        "the book's fivefold set, of shifts by a pixel; or distort the training images anew in "
        "every epoch",
    )

    recipe: str | None = setting(
        None,
        optional(choice(RECIPES)),
        "network",
        "a network beyond the book, with its distortions and settings; training flags such as "
        "--epochs override the settings: see results/LADDER.md",
        unset="none",
    )
    hidden: tuple[int, ...] = setting(
        (100,), whole, "network", "neurons of each hidden layer", metavar="N", many=True
    )
    conv: tuple[int, ...] = setting(
        (),
        whole,
        "network",
        "feature maps of each convolution below the hidden layers, with 5 x 5 filters and 2 x 2 "
        "max-pooling, as in chapter 6",
        metavar="N",
        many=True,
    )
    cost: str = setting("cross-entropy", choice(COSTS), "network", "cost function")
    activation: str = setting(
        "sigmoid", choice(ACTIVATIONS), "network", "activation of the hidden neurons"
    )
    output: str | None = setting(
        None,
        optional(choice(ACTIVATIONS)),
        "network",
        "activation of the output neurons",
        unset="the one that matches the cost",
    )
    init: str = setting("default", choice(INITIALIZERS), "network", "initial weights")
    dropout: float = setting(
        0.0, FRACTION, "network", "probability of dropping a hidden neuron", metavar="P"
    )
    dtype: str = setting("float32", choice(("float32", "float64")), "network", "precision")

    epochs: int = setting(
        30,
        whole,
        "training",
        "passes through the training set, at most",
        metavar="N",
        hyper="epochs",
        may_change=True,
    )
    mini_batch_size: int = setting(
        10,
        whole,
        "training",
        "images in a mini-batch",
        flags="--mini-batch-size --batch-size",
        metavar="M",
        hyper="mini_batch_size",
    )
    eta: float = setting(
        0.5,
        POSITIVE,
        "training",
        "learning rate",
        flags="--eta --lr",
        metavar="ETA",
        hyper="eta",
    )
    lmbda: float = setting(
        5.0,
        NOT_NEGATIVE,
        "training",
        "L2 regularization",
        flags="--lmbda --l2",
        metavar="LMBDA",
        hyper="lmbda",
    )
    l1: float = setting(
        0.0, NOT_NEGATIVE, "training", "L1 regularization", metavar="LMBDA", hyper="lmbda_l1"
    )
    momentum: float = setting(
        0.0,
        FRACTION,
        "training",
        "momentum coefficient",
        flags="--momentum --mu",
        metavar="MU",
        hyper="mu",
    )
    schedule: str = setting(
        "constant",
        choice(SCHEDULES),
        "training",
        "how eta changes from step to step until the last epoch",
        hyper="schedule",
    )
    warmup: float = setting(
        0.0,
        NOT_NEGATIVE,
        "training",
        "epochs, like 0.5, in which the learning rate first rises from 0 to eta",
        metavar="EPOCHS",
        hyper="warmup",
    )
    nesterov: bool = setting(
        False,
        YES_OR_NO,
        "training",
        "use Nesterov's momentum instead of the book's; needs --momentum",
        hyper="nesterov",
    )
    label_smoothing: float = setting(
        0.0,
        FRACTION,
        "training",
        "the fraction of each label, like 0.1, that training shares among all outputs",
        metavar="PART",
        hyper="label_smoothing",
    )
    average: float = setting(
        0.0,
        FRACTION,
        "training",
        "measure and keep the moving average of the weights, in which each step has this part, "
        "like 0.003",
        metavar="PART",
        hyper="average",
    )
    halve_after: int | None = setting(
        3,
        optional(whole),
        "training",
        "halve eta after N epochs without improvement on the validation set, and stop at 1/128 of "
        "the start; none keeps eta",
        metavar="N",
        unset="3; none with a schedule or warm-up",
        hyper="halve_after",
        may_change=True,
    )
    judge_by: str = setting(
        "accuracy",
        choice(("accuracy", "cost")),
        "training",
        "what --halve-after and --patience compare on the validation set",
        hyper="judge_by",
    )
    patience: int | None = setting(
        None,
        optional(whole),
        "training",
        "stop after N epochs without improvement, with the weights of the best epoch",
        metavar="N",
        hyper="patience",
        may_change=True,
    )
    seed: int = setting(
        0,
        whole_number(0, 2**128 - 1),
        "training",
        "seed of all random numbers",
        metavar="SEED",
    )

    monitor_training: str = setting(
        "sample",
        choice(("sample", "all", "none")),
        "measuring",
        f"measure the first {SAMPLE:,} training images after every epoch, all of them, or none; "
        "the flag alone means all",
        bare="all",
    )
    monitor_test: bool = setting(
        False,
        YES_OR_NO,
        "measuring",
        "measure the test set after every epoch, not only at the end",
    )
    regularized_cost: bool = setting(
        False,
        YES_OR_NO,
        "measuring",
        "add the L2 and L1 terms to the measured costs, as the book's network2 does",
    )
    keep_weights: bool = setting(
        False,
        YES_OR_NO,
        "measuring",
        "keep the weights of the first layer after every epoch, which nndl page shows",
    )
    target_accuracy: float | None = setting(
        None,
        optional(PERCENT),
        "measuring",
        "exit with status 1 if the test accuracy stays below",
        metavar="PERCENT",
        may_change=True,
    )

    def __post_init__(self) -> None:
        for name, option in OPTIONS.items():
            value = getattr(self, name)
            for item in value if option.many else (value,):
                if not option.kind.allows(item):
                    raise ValueError(f"{name}: {option.kind.unlike(item)}")

    @classmethod
    def from_flags(cls, given: Mapping[str, Any]) -> Config:
        """Return the settings of a new run: those given, and the defaults that fit them.

        Raises
        ------
        ValueError
            If a recipe and what belongs to it are both given.
        """
        if given.get("recipe"):
            if both := sorted(_OF_RECIPES & set(given)):
                flags = ", ".join("--" + name.replace("_", "-") for name in both)
                raise ValueError(f"the recipe has its own network and distortions: omit {flags}")
            settings = RECIPES[given["recipe"]].settings.record()
            of_recipe = {n: settings[o.hyper] for n, o in OPTIONS.items() if o.hyper}
            # The warm-up belongs to the recipe's own number of epochs.
            epochs = given.get("epochs", settings["epochs"])
            of_recipe["warmup"] *= min(1.0, epochs / settings["epochs"])
            if given.get("momentum") == 0:
                of_recipe["nesterov"] = False
            if given.get("schedule") in ("constant", "one-cycle"):
                of_recipe["warmup"] = 0.0
            if given.get("halve_after"):
                of_recipe |= {"schedule": "constant", "warmup": 0.0}
            return cls(**of_recipe | dict(given))
        scheduled = given.get("schedule", "constant") != "constant" or given.get("warmup")
        return cls(**({"halve_after": None} if scheduled else {}) | dict(given))

    def record(self) -> dict[str, Any]:
        """Return the settings as plain JSON."""
        return {
            name: list(getattr(self, name)) if option.many else getattr(self, name)
            for name, option in OPTIONS.items()
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Config:
        """Return the settings from JSON, also of version 0.1.0; the defaults for absent ones.

        Raises
        ------
        ValueError
            If a setting is unknown or has a value of another kind.
        """
        if unknown := sorted(set(record) - set(OPTIONS)):
            names = printable(", ".join(unknown))
            raise ValueError(
                f"there is no setting called {names}: correct its name, remove it, or upgrade nndl "
                "if a later version wrote it"
            )
        known = dict(record)
        if type(record.get("monitor_training")) is bool:  # version 0.1.0
            known["monitor_training"] = "all" if record["monitor_training"] else "none"
            known["regularized_cost"] = True
        for name in set(known) & {name for name, option in OPTIONS.items() if option.many}:
            if type(known[name]) is not list:
                raise ValueError(f"{name}: expected a list, not {printable(repr(known[name]), 80)}")
            known[name] = tuple(known[name])
        return cls(**known)

    def settings(self) -> Settings:
        """Return the hyper-parameters."""
        return Settings(
            **{option.hyper: getattr(self, n) for n, option in OPTIONS.items() if option.hyper}
        )

    def with_changes(self, given: Mapping[str, Any]) -> Config:
        """Return the settings of a resumed run: these, with the changes that are allowed.

        Raises
        ------
        ValueError
            If a setting differs that must not change.
        """
        differ = {
            name: f"{name} is {_shown(getattr(self, name))}, not {_shown(value)}"
            for name, value in given.items()
            if name not in self.may_change and value != getattr(self, name)
        }
        if differ.keys() == {"epochs"}:  # of a schedule
            raise ValueError(
                f"its {self.schedule} schedule spans all epochs, {self.epochs}, which cannot "
                f"become {given['epochs']}: leave --epochs out, or start another run"
            )
        if differ:
            words = "; ".join(differ.values())
            raise ValueError(f"the run has other settings: {words}; leave them out")
        return replace(self, **given)

    @property
    def may_change(self) -> list[str]:
        """The settings that a resumed run can have other values of."""
        # A schedule is stretched over all epochs.
        kept = {"epochs"} if self.schedule != "constant" else set()
        return [name for name, option in OPTIONS.items() if option.may_change and name not in kept]

    def unlike(self, began: Config) -> list[str]:
        """Return the settings of ``began`` that differ from these, and must not, as words."""
        return [
            f"{name} {_shown(getattr(began, name))}"
            for name in OPTIONS
            if name not in self.may_change and getattr(began, name) != getattr(self, name)
        ]


_OF_RECIPES = {"hidden", "conv", "cost", "activation", "output", "init", "dropout", "expand"}

OPTIONS: dict[str, Option] = {f.name: f.metadata["option"] for f in fields(Config)}


def settings_given(namespace: argparse.Namespace) -> dict[str, Any]:
    """Return the settings whose flags were given, by name."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(namespace).items()
        if name in OPTIONS
    }


def _shown(value: object) -> str:
    return printable(repr(list(value) if isinstance(value, tuple) else value), 80)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each setting. A setting is only in the namespace if its flag was given."""
    groups = {o.group: parser.add_argument_group(o.group) for o in OPTIONS.values()}
    for name, default in vars(Config()).items():
        option = OPTIONS[name]
        shown = " ".join(map(str, default)) if option.many else default
        shown = option.unset or ("none" if shown in (None, "") else shown)
        more: dict[str, Any] = {}
        if option.kind is YES_OR_NO:
            more["action"], shown = "store_true", "no"
        elif option.kind.choices and option.kind.allows(None):
            names = ",".join((*option.kind.choices, "none"))
            more |= {"type": option.kind, "metavar": f"{{{names}}}"}
        elif option.kind.choices:
            more["choices"] = option.kind.choices
        else:
            more |= {"type": option.kind, "metavar": option.metavar}
        if option.many:
            more["nargs"] = "*"
        if option.bare:
            more |= {"nargs": "?", "const": option.bare}
        groups[option.group].add_argument(
            *(option.flags or "--" + name.replace("_", "-")).split(),
            dest=name,
            default=argparse.SUPPRESS,
            help=f"{option.help} (default: {shown})",
            **more,
        )
