"""CloudFront standard logs: their columns, their decoder, what follows from their values, and three views."""
