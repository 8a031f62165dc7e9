"""Where events come from: the port, and the sources behind it."""
