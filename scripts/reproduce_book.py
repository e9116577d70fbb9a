"""The same as `nndl reproduce`, from a clone."""

from nndl.cli.main import start

if __name__ == "__main__":
    start("reproduce")
