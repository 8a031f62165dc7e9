"""What the doctor finds about the table of a journal in DynamoDB."""

from collections.abc import Iterator
from typing import Final

from shardlake.adapters import journals
from shardlake.adapters.clock import random_name
from shardlake.app import compose
from shardlake.app.checks import Check, Visit, failed
from shardlake.core.errors import ShardlakeError
from shardlake.core.journal.port import REMOVED, Journal, Write

ALLOW: Final = "allow what docs/deploy/iam/journal.json names, for this table"
MAKE: Final = f"make the table as docs/deploy shows, and {ALLOW}"


def journal_table(visit: Visit) -> Iterator[Check]:
    """Look at the table, if the journal is in one; with `put`, write a row and remove it.

    Raises: ConfigError, Terminal or Transient if it cannot be used.
    """
    where = compose.journal_place(visit.config)
    if not where.url:
        return
    found = journals.in_dynamodb(where)
    described = found.check()
    wrong = found.warnings(described)
    billing = described.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED")
    told = f"{described['TableName']} is {described['TableStatus']}, {billing}"
    yield Check("journal table", "warn" if wrong else "ok", told, "; ".join(wrong))
    if not (visit.config.storage.url or compose.storage(visit.config).url):
        what_next = "set it to a place in S3, because who shares the journal needs the objects"
        yield Check("storage", "fail", "journal.url is set, and storage.url is not", what_next)
    if visit.put:
        yield _written(found)


def _written(journal: Journal) -> Check:
    """Write as the protocol does: a row that is put, one that is only expected, one that goes."""
    key, value = f"doctor/{random_name()}", b"{}"
    try:
        for expect, put in ((None, value), (value, None), (value, REMOVED)):
            journal.transact([Write(key, expect, put)])
    except ShardlakeError as error:
        return failed("journal write", error, ALLOW)
    return Check("journal write", "ok", "a row was written, expected and removed")
