"""The book: its numbers, its experiments, the author's own runs, and its listings' modules."""
