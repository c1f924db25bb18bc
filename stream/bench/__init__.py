"""Benchmarks that a user can run: how much this machine does with the settings as they are."""
