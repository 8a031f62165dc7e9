"""The journal's table, which infrastructure code makes: what it must be like, and whether it is."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from shardlake.adapters.dynamodb.port import DynamoCalls, NoTable
from shardlake.core.errors import ConfigError, Terminal, Transient

HASH, RANGE = "pk", "sk"
SCHEMA: Final = (
    {"AttributeName": HASH, "KeyType": "HASH"},
    {"AttributeName": RANGE, "KeyType": "RANGE"},
)
_TYPES: Final = {HASH: "S", RANGE: "S"}
_WORKING: Final = ("ACTIVE", "UPDATING")


class WrongTable(ConfigError):
    """A table is not there, or cannot hold a journal."""


def creation(table: str) -> dict[str, Any]:
    """Give the request that makes such a table, for stand-ins and tests."""
    types = [{"AttributeName": name, "AttributeType": kind} for name, kind in _TYPES.items()]
    return {
        "TableName": table,
        "KeySchema": list(SCHEMA),
        "AttributeDefinitions": types,
        "BillingMode": "PAY_PER_REQUEST",
    }


def check(calls: DynamoCalls, table: str) -> Mapping[str, Any]:
    """See that a table can hold a journal, and give its description.

    Raises: WrongTable that names what to change; Transient if the table is being made; as the calls.
    """
    try:
        found: Mapping[str, Any] = calls.call("DescribeTable", {"TableName": table})["Table"]
    except NoTable as error:
        raise WrongTable(
            f"there is no table {table} for the journal: make it as docs/deploy shows, or correct journal.url or"
            " journal.region"
        ) from error
    status = found["TableStatus"]
    if status == "CREATING":
        raise Transient(f"table {table} is being made: wait for it")
    if status not in _WORKING:
        raise WrongTable(f"table {table} is {status}, and cannot be used: see to it, or correct journal.url")
    types = {one["AttributeName"]: one["AttributeType"] for one in found["AttributeDefinitions"]}
    schema = {one["AttributeName"]: one["KeyType"] for one in found["KeySchema"]}
    wanted = {one["AttributeName"]: one["KeyType"] for one in SCHEMA}
    if schema != wanted or any(types.get(name) != kind for name, kind in _TYPES.items()):
        keys = ", ".join(f"{name} ({types.get(name)}, {kind})" for name, kind in schema.items())
        raise WrongTable(
            f"table {table} has the keys {keys}; a journal needs {HASH} (S, HASH) and {RANGE} (S, RANGE): make a table"
            " as docs/deploy shows, or correct journal.url"
        )
    _check_expiry(calls, table)
    return found


def _check_expiry(calls: DynamoCalls, table: str) -> None:
    answer = calls.call("DescribeTimeToLive", {"TableName": table})
    told = answer.get("TimeToLiveDescription", {})
    if told.get("TimeToLiveStatus") in ("ENABLED", "ENABLING"):
        raise WrongTable(
            f"table {table} has a time to live (attribute {told.get('AttributeName')}), and a journal's rows must not"
            " expire: disable it"
        )


def warnings(calls: DynamoCalls, described: Mapping[str, Any]) -> Iterator[str]:
    """Say what may be dangerous about a table that can be used. Raises: Transient."""
    table = described["TableName"]
    try:
        backups = calls.call("DescribeContinuousBackups", {"TableName": table}).get("ContinuousBackupsDescription", {})
    except Terminal as error:
        yield f"whether point-in-time recovery is on is not told: {error}"
    else:
        if backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus") != "ENABLED":
            yield f"point-in-time recovery of table {table} is off: enable it"
    if not described.get("DeletionProtectionEnabled"):
        yield f"table {table} is not protected from deletion: enable that"
    if described.get("Replicas"):
        yield f"table {table} is a global table: only processes of one region may use the journal"
