"""What touches disks, databases, table formats and the clock: one module or package a port and technology."""
