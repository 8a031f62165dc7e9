"""The packs that come with Shardlake, by the names that the configuration uses."""

from collections.abc import Callable, Mapping
from typing import Final

from shardlake.core.errors import ConfigError
from shardlake.packs.cloudfront.pack import CloudFront, CloudFrontRealtime
from shardlake.packs.pack import Pack

PACKS: Final[Mapping[str, Callable[[], Pack]]] = {
    "cloudfront": CloudFront,
    "cloudfront_realtime": CloudFrontRealtime,
}


def load(name: str) -> Pack:
    """Make a pack. Raises: ConfigError for a name that there is none of."""
    make = PACKS.get(name)
    if make is None:
        raise ConfigError(f"there is no pack {name!r}; accepted: {', '.join(sorted(PACKS))}")
    return make()
