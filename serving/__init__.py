"""The serving layer: plan, combine, answer. `serving.connect()` is where a notebook begins."""

from serving.connection import Answer, Connection, connect

__all__ = ["Answer", "Connection", "connect"]
