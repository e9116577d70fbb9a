"""Reproduction of the book: its experiments, replays of the author's runs, figures, report."""
