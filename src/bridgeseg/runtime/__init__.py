"""Runs a network: the model and its file, the runtimes behind it, tiles, and the result."""
