"""`python -m shardlake` is the command `shardlake`."""

from shardlake.app.main import main

main()
