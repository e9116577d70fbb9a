"""The same as `nndl train`, from a clone."""

from nndl.cli.main import start

if __name__ == "__main__":
    start("train")
