"""The SQL text of a view: its header, places in it, and refusals that point there."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NoReturn

from sqlglot import exp

from shardlake.core.errors import ViewRefused

SETTINGS: Final = ("description",)
_SETTING: Final = re.compile(r"--\s?([a-z_]+):\s*(.*)")


@dataclass(frozen=True, slots=True)
class ViewText:
    """A view's name and SQL text, by which refusals name their place."""

    view: str
    sql: str

    def refuse(self, at: exp.Expr | int, reason: str, rewrite: str) -> NoReturn:
        """Refuse the view because of a node, or of what is at an offset. Raises: ViewRefused."""
        offset = at if isinstance(at, int) else self._offset(at)
        line = self.sql.count("\n", 0, offset) + 1
        column = offset - (self.sql.rfind("\n", 0, offset) + 1) + 1
        raise ViewRefused(self.view, line, column, reason, rewrite)

    def _offset(self, node: exp.Expr) -> int:
        starts = list(_starts(node))
        if starts:
            return min(starts)
        word = re.match(r"\w+", node.sql(dialect="duckdb"))
        found = re.search(rf"\b{word[0]}\b", self.sql, re.IGNORECASE) if word else None
        if found is not None:
            return found.start()
        return self._offset(node.parent) if node.parent else 0

    def settings(self) -> dict[str, str]:
        """Read the `-- key: value` lines at the top. Raises: ViewRefused for an unknown key."""
        found: dict[str, str] = {}
        offset = 0
        for line in self.sql.splitlines(keepends=True):
            if not line.startswith("--") and line.strip():
                break
            if match := _SETTING.match(line):
                self._check_setting(match[1], offset, found)
                found[match[1]] = match[2].strip()
            offset += len(line)
        return found

    def _check_setting(self, key: str, offset: int, found: dict[str, str]) -> None:
        if key not in SETTINGS:
            self.refuse(offset, f"{key} is no setting of a view", f"known settings: {', '.join(SETTINGS)}")
        if key in found:
            self.refuse(offset, f"{key} is set twice", "keep one of the lines")


def _starts(node: exp.Expr) -> Iterator[int]:
    return (n.meta["start"] for n in node.walk() if isinstance(n.meta.get("start"), int))
