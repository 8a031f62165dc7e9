"""The commands, one file each. A command imports what it works with when it runs."""
