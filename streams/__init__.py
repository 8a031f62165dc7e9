"""The speed layer: source, decode, protect, chunk, entry, commit."""
