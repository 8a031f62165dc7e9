"""`shardlake config show`: every setting, and where its value came from."""

import click

from shardlake.app.cli import Group, Invocation, pass_invocation
from shardlake.app.config import DEFAULT


@click.group(cls=Group)
def config() -> None:
    """See the settings in force."""


@config.command()
@click.option("--changed", is_flag=True, help="Only what differs from the defaults.")
@pass_invocation
def show(invocation: Invocation, changed: bool) -> None:
    """Show every setting, its value, and where that came from.

    A flag wins over the environment (SHARDLAKE_SOURCE_PATH for source.path), that over shardlake.toml, that over the
    default.
    """
    resolved = invocation.resolved()
    values = {key: found for key, found in resolved.values.items() if not changed or found.origin != DEFAULT}
    rows = [(key, _text(found.value), found.origin) for key, found in values.items()]
    data = {
        "file": str(resolved.file) if resolved.file else None,
        "settings": [{"key": key, "value": found.value, "origin": found.origin} for key, found in values.items()],
    }
    invocation.output.table(("setting", "value", "origin"), rows, data)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
