"""The same as `nndl plot`, from a clone."""

from nndl.cli.options import exit_with
from nndl.cli.plot import main

if __name__ == "__main__":
    exit_with(main)
