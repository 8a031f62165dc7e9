"""The lease tables of Amazon's Kinesis Client Library: read, watched, and written so that it goes on from them."""
