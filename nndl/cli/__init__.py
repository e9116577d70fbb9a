"""The command line, `nndl`: a module for each command (`nndl.cli.main.COMMANDS`)."""
