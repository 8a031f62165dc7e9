"""S3: objects and batch tables in a bucket, and the local cache through which they are read."""
