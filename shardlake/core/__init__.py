"""Words and algebra of the kernel: pure, with no AWS, files, threads or clock of their own."""
