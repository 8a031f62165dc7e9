"""Benchmarks with a bar each: `make bench NAME=x`, and `make long NAME=y` for what takes over a minute."""
