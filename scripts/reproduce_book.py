"""The same as `nndl reproduce`, from a clone."""

from nndl.cli.options import exit_with
from nndl.cli.reproduce import main

if __name__ == "__main__":
    exit_with(main)
