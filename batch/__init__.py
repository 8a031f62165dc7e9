"""The batch layer: the journal into the master dataset, and into batch views, audited."""
