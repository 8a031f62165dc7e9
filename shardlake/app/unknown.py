"""What a query is told that names something which is no view in use."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from shardlake.app.settings import Config
from shardlake.app.viewset import compiled_views, load_pack, own_views
from shardlake.core.errors import QueryRefused

if TYPE_CHECKING:
    from serving.answer import UnknownView


@contextmanager
def explained(config: Config) -> Iterator[None]:
    """Say more where a view is not known; only then the pack is imported. Raises: QueryRefused."""
    try:
        yield
    except QueryRefused as error:
        from serving.answer import UnknownView

        if not isinstance(error, UnknownView):
            raise
        raise QueryRefused(_said(config, error)) from error


def _said(config: Config, error: "UnknownView") -> str:
    pack = load_pack(config)
    there = {view.lower(): view for view in (*pack.views, *own_views(config))}
    name = error.view.lower()
    if name in there:
        return (
            f"the view {there[name]} is not in use: add it to views.use, then run `shardlake stream run` or"
            " `shardlake batch run`"
        )
    if name == pack.schema.name.lower():
        views = ", ".join(sorted(compiled_views(config)))
        return (
            f"{pack.schema.name} is the source of events, and queries ask views ({views}): `shardlake views list` shows"
            " their columns"
        )
    return str(error)
