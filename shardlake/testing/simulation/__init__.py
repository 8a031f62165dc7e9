"""A deterministic world in which the consumer, batch runs and planners are disturbed, and judged."""
