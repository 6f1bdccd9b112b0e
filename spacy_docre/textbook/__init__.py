"""Slow forms of layers and losses, which tests and `benchmark` compare with."""
