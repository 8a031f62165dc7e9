"""Which leases of a table are of one stream.

A table of several streams names each by an identifier, `ACCOUNT:STREAM:EPOCH`, where the epoch is what the application
was told, and 1 for the streams of DynamoDB; a table of one stream names none.
"""

from collections.abc import Sequence

from shardlake.adapters.kcl.importing import names
from shardlake.adapters.kcl.lease import Lease, LeaseRefused


def leased_name(arn: str) -> str:
    """Give the name that a stream has in identifiers, by its ARN; a table's stream has one that is made of several.

    >>> leased_name("arn:aws:kinesis:eu-west-1:123456789012:stream/orders")
    'orders'
    >>> leased_name("arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-03-17T10:00:00.000")
    'eu-west-1$123456789012$orders$2026-03-17T10_00_00.000'
    """
    _, _, service, region, account, resource = arn.split(":", 5)
    if service != "dynamodb":
        return resource.rpartition("/")[2]
    _, table, _, label = resource.split("/")
    return "$".join((region, account, table, label.replace(":", "_")))


def choose(leases: Sequence[Lease], stream: str, created_s: int, identifier: str = "") -> str:
    """Say under which identifier a stream's leases stand, "" for none.

    Without an `identifier`, which an empty table may get, it is the one that holds the stream's name, of several
    the one of its creation time.
    Raises: LeaseRefused if none is the stream's, or several may be.
    """
    if not leases:
        return identifier
    there = sorted({lease.stream for lease in leases})
    if identifier:
        if identifier in there:
            return identifier
        raise LeaseRefused(f"no lease is of {identifier}; {_told(there)}")
    found = [one for one in there if _name(one) == stream]
    if len(found) > 1:
        found = [one for one in found if one.rpartition(":")[2] == str(created_s)]
    if len(found) == 1:
        return found[0]
    if not found and "" in there:
        return ""
    which = "several may be" if len([one for one in there if _name(one) == stream]) > 1 else "no lease is"
    raise LeaseRefused(f"{which} of stream {stream}; {_told(there)}: say which with --identifier")


def of_stream(leases: Sequence[Lease], identifier: str) -> tuple[Lease, ...]:
    """The leases of one stream."""
    return tuple(lease for lease in leases if lease.stream == identifier)


def _name(identifier: str) -> str:
    parts = identifier.split(":")
    return parts[1] if len(parts) == 3 else ""


def _told(there: Sequence[str]) -> str:
    named = [one for one in there if one]
    return f"the table is of {names(named)}" if named else "the table is of one stream alone"
