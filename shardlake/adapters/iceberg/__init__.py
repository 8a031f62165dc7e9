"""Batch tables in Apache Iceberg, with PyIceberg and its catalog in a SQLite file; nothing else imports PyIceberg."""
