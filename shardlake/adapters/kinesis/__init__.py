"""Kinesis: what is said to it, what it answers, and what goes wrong."""
