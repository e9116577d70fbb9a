"""The contestants: ways to train or run one network, a module for each library."""
