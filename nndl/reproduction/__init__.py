"""The book, reproduced: its experiments, the author's own runs, its figures, the report."""
