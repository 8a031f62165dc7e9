"""The command `shardlake`: its configuration, its commands, and how everything is put together. Nothing imports it."""
