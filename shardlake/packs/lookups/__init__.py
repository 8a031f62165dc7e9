"""Reference data: tables of one's own that are joined to events when they are read."""

from shardlake.packs.lookups.pack import told, with_lookups

__all__ = ["told", "with_lookups"]
