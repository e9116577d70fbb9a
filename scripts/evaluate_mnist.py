"""The same as `nndl evaluate`, from a clone."""

from nndl.cli.evaluate import main
from nndl.cli.options import exit_with

if __name__ == "__main__":
    exit_with(main)
