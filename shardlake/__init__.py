"""The kernel of Shardlake: views written once, answers exact at their cut."""
