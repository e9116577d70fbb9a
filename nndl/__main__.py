"""`python -m nndl`: the same as the command `nndl`."""

from nndl.cli.main import start

if __name__ == "__main__":
    start()
