"""Views tried over no events: what the compiler cannot know, such as whether a pattern is one, the engine tells."""

from shardlake.adapters.engine import Engine
from shardlake.core.errors import ShardlakeError, ViewRefused
from shardlake.core.schema import EVENT_COLUMNS, SourceSchema
from shardlake.core.sql import identifier
from shardlake.core.view import EVENTS, CompiledView


class Trial:
    """An engine with a table of no events."""

    def __init__(self, schema: SourceSchema) -> None:
        columns = ", ".join(f"{identifier(c.name)} {c.type}" for c in (*schema.columns, *EVENT_COLUMNS))
        self._engine = Engine(threads=1)
        self._engine.run(f"CREATE TEMP TABLE events ({columns})")
        self._engine.run("INSERT INTO events (_weight) SELECT 1 WHERE random() > 2")  # empty, and no plan knows it

    def passed(self, view: CompiledView) -> CompiledView:
        """Give a view back if its partial form runs. Raises: ViewRefused."""
        try:
            self._engine.run(view.partial.replace(EVENTS, "events"))
        except ShardlakeError as error:
            raise ViewRefused(view.name, 1, 1, str(error), "correct the constant or pattern that it names") from error
        return view
