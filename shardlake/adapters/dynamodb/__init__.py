"""DynamoDB: its calls, the journal in a table, and the changes of tables as a stream."""
