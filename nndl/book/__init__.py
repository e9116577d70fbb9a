"""The book's listings: `mnist_loader`, `network`, `network2` and `network3`, on the core."""
