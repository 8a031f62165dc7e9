"""The packs: those that come with Shardlake, by name, and those in folders of users, by path."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Final

from shardlake.core.errors import ConfigError
from shardlake.packs.cloudfront.pack import CloudFront, CloudFrontRealtime
from shardlake.packs.pack import Pack

PACKS: Final[Mapping[str, Callable[[], Pack]]] = {
    "cloudfront": CloudFront,
    "cloudfront_realtime": CloudFrontRealtime,
}


# Packs of ours that are folders, as a user's are.
FOLDERS: Final = ("alb", "orders", "s3_access", "vpc_flow")


def load(name: str) -> Pack:
    """Make a pack: one of ours by its name, or the one in a folder, by a path with a slash in it.

    Raises: ConfigError for a name that there is none of, or a folder that holds none.
    """
    if make := PACKS.get(name):
        return make()
    from shardlake.packs.declared.pack import DeclaredPack  # noqa: PLC0415 - for those who have one

    if name in FOLDERS:
        return DeclaredPack(resources.files("shardlake.packs").joinpath(name), name)
    if is_folder(name):
        pack = DeclaredPack(Path(name), Path(name).name)
        if pack.name in PACKS or pack.name in FOLDERS:
            raise ConfigError(
                f"{name}: {pack.name} is the name of a pack of Shardlake's own: set another in its pack.toml, such as"
                f' name = "my_{pack.name}"'
            )
        return pack
    names = sorted((*PACKS, *FOLDERS))
    near = get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}? Accepted" if near else "accepted"
    raise ConfigError(
        f"there is no pack {name!r}; {hint}: {', '.join(names)}, or the path of a pack's folder, such as ./{name}"
    )


def is_folder(name: str) -> bool:
    """Tell whether a pack is named by the path of its folder."""
    return "/" in name
