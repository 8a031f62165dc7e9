"""The system source `bootstrap/<source>`: rows that make up for what a table held before its stream was followed.

Its one shard stands at (n, 0) while somebody is at work on them, and at (n, 1) when they are complete.
"""

import re
from collections.abc import Mapping
from typing import Final

from shardlake.core.positions import Position

SYSTEM: Final = "bootstrap/"  # no source that is configured has a name with a slash
UNDER_WAY, COMPLETE = 0, 1
# A shard of a source that is called bootstrap has other characters behind the slash, or begins with a digit.
_SHARD: Final = re.compile(SYSTEM + "[a-z][a-z0-9_]*")


def bootstrap_of(source: str) -> str:
    """Name the source of a source's rows from its table, and its only shard."""
    return SYSTEM + source


def is_under_way(upto: Mapping[str, str]) -> bool:
    """Tell whether somebody has begun to load a table's content, and it is not complete, by how far shards are counted.

    >>> is_under_way({"bootstrap/orders": "0017.0010"}), is_under_way({"bootstrap/orders": "0019.0011"})
    (True, False)
    """
    found = [(shard, at) for shard, at in upto.items() if shard.startswith(SYSTEM)]
    return any(_SHARD.fullmatch(shard) and Position.decode(at).sub == UNDER_WAY for shard, at in found)
