"""DynamoDB Streams as a source."""
