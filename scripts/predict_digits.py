"""The same as `nndl predict`, from a clone."""

from nndl.cli.main import start

if __name__ == "__main__":
    start("predict")
