"""The same as `nndl train`, from a clone."""

from nndl.cli.options import exit_with
from nndl.cli.train import main

if __name__ == "__main__":
    exit_with(main)
