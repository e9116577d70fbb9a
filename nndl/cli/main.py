"""The command `nndl`: finds the command that the user typed and runs it.

Each command is a module of `nndl.cli` with a function ``main(argv) -> status``. It is imported only
when it is used, and raises its errors: `nndl.cli.errors` turns each of them into one line.
"""

from __future__ import annotations

import os
import sys

__all__ = ["COMMANDS", "main", "run", "start"]

COMMANDS = {
    "train": "train a network, or resume a run",
    "evaluate": "measure a trained network, digit by digit",
    "plot": "draw the learning curves of runs",
    "predict": "read photographs or drawings of digits",
    "page": "write a page on which a network reads the digits that you draw",
    "export": "write a trained network in the format of another library, ONNX",
    "ladder": "measure the recipes beyond the book, with seconds and spread",
    "reproduce": "run the experiments of the book and draw its figures",
}
"""The name of each command, which is also its module in `nndl.cli`, and what it does."""


def start(command: str | None = None) -> None:
    """Run what the user typed, and exit with its status.

    Parameters
    ----------
    command : str, optional
        The command that a script in scripts/ stands for. By default the first argument names it.
    """
    from nndl.cli.interrupts import INTERRUPTED, exit_on_interrupt

    exit_on_interrupt()  # before the slow imports

    from nndl.cli.errors import exit_status, protect_streams

    out = protect_streams()
    argv = sys.argv[1:]
    status = main(argv) if command is None else run(command, argv)
    status = exit_status(status, out)
    if status == INTERRUPTED:
        os._exit(status)  # an import that was interrupted can crash the interpreter at its end
    sys.exit(status)


def main(argv: list[str]) -> int:
    """Run ``nndl`` with these arguments; return the exit status."""
    if argv[:1] and argv[0] in COMMANDS:
        return run(argv[0], argv[1:])

    from nndl import __version__
    from nndl.cli.errors import guarded
    from nndl.cli.options import Parser, program_name

    parser = Parser(
        prog=program_name(),
        description="Train and use the networks of the book 'Neural Networks and Deep Learning'.",
        epilog="'%(prog)s COMMAND --help' shows the flags of a command. '--traceback' after any "
        "COMMAND shows where an error happened. Exit status: 0 success, 1 failure, 2 wrong usage, "
        "70 a bug in nndl, 130 interrupted, 141 the reader of the output has gone.",
    )
    parser.add_argument("--version", action="version", version=f"nndl {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    for name, purpose in COMMANDS.items():
        commands.add_parser(name, help=purpose)

    def parse() -> int:
        parser.parse_args(argv[:1])  # exits, unless it is empty
        parser.print_help()
        return 0

    return guarded(parser.prog, parse)


def run(command: str, argv: list[str]) -> int:
    """Run a command with these arguments; return the exit status."""
    from nndl.cli.errors import guarded
    from nndl.cli.interrupts import raise_on_interrupt
    from nndl.cli.options import program_name

    own = argv[: argv.index("--")] if "--" in argv else argv
    arguments = [word for word in own if word != "--traceback"] + argv[len(own) :]

    def import_and_run() -> int:
        from importlib import import_module

        module = import_module(f"nndl.cli.{command}")
        with raise_on_interrupt():
            status: int = module.main(arguments)
            return status

    return guarded(program_name(command), import_and_run, show_traceback="--traceback" in own)
