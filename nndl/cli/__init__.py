"""The command line: `nndl train`, `evaluate`, `plot`, `predict` and `reproduce`."""
