"""The same as `nndl predict`, from a clone."""

from nndl.cli.options import exit_with
from nndl.cli.predict import main

if __name__ == "__main__":
    exit_with(main)
