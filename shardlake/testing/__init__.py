"""What tests of Shardlake, and of what is built on it, share: faults, a small world, plain oracles."""
