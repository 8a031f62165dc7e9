"""Automatic clients, told by their user agents: which ones, what they are there for, and how one knows."""
