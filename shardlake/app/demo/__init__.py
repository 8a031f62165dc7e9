"""The demo: a world of CloudFront logs, a plain oracle that counts them, and the report."""
