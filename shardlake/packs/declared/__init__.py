"""Packs that are folders: `pack.toml` says how lines are read, `views/*.sql` what is kept of them."""
