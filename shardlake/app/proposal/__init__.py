"""A pack proposed by looking at a sample of lines: what `shardlake init --from` writes."""
