"""Kinesis as a source: pages fetched ahead, paced by what a shard allows, with every lost interval told."""
