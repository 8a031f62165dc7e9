"""A connection to a root, for notebooks and programs.

    import serving

    with serving.connect(".shardlake") as connection:
        answer = connection.query("SELECT * FROM bots ORDER BY requests DESC LIMIT 10")
        answer.pandas()             # or .arrow(), or .rows
        answer.certificate          # what it covers

The views are those that the root worked with last. Every query reads the newest cut. A root on another machine, whose
journal is in DynamoDB, is open for queries once any command has worked with it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from serving.answer import Server
from serving.certificate import Certificate
from serving.display import SHOWN, answer_html, connection_html
from serving.values import rows
from shardlake.adapters import active_views, journal_file, journals, settings_file, storage_file
from shardlake.adapters.local_objects import LocalObjects
from shardlake.adapters.stored import OBJECTS, TABLES
from shardlake.adapters.table_reader import TableReader
from shardlake.core.errors import ConfigError, QueryRefused, Terminal
from shardlake.core.journal.port import Journal
from shardlake.core.limits import Limits
from shardlake.core.ports import ObjectStore

if TYPE_CHECKING:
    import pyarrow as pa

    from serving.frame import DataFrame


class Answer:
    """The rows of one query, and the certificate that says what they cover."""

    def __init__(self, table: "pa.Table", certificate: Certificate) -> None:
        self._table = table
        self.certificate = certificate

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self._table.column_names)

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """The rows as Python values. A time is UTC, without a zone; a sum of integers is an integer."""
        return rows(self._table)

    def arrow(self) -> "pa.Table":
        """The rows as an Arrow table."""
        return self._table

    def pandas(self) -> "DataFrame":
        """The rows as a pandas frame."""
        from serving.frame import to_pandas  # noqa: PLC0415 - pandas is for those who ask for it

        return to_pandas(self._table)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __repr__(self) -> str:
        lines = ["\t".join(self.columns), *("\t".join(map(str, row)) for row in self._first())]
        return "\n".join([*lines, self._summary()])

    def _repr_html_(self) -> str:
        return answer_html(self._table, self.certificate)

    def _first(self) -> Sequence[tuple[Any, ...]]:
        return rows(self._table.slice(0, SHOWN))

    def _summary(self) -> str:
        cut = " ".join(f"{lane}:{n}" for lane, n in sorted(self.certificate.cut.items()))
        classes = ", ".join(f"{view.name} {view.exactness}" for view in self.certificate.views)
        shown = f"{SHOWN} of " if len(self) > SHOWN else ""
        return f"[{shown}{len(self):,} rows, cut {cut or 'nothing'}, {classes}]"


class Connection:
    """A root that is open for queries, one after the other."""

    def __init__(self, root: Path, limits: Limits, threads: int) -> None:
        self.root = root
        self._closed = False
        self._views = active_views.load(root)
        where = journal_file.stored(root)
        self._journal = journals.open_journal(root, where, storage_file.stored(root).url, read_only=True)
        store, tables = _stored(root, limits, self._journal if where.url else None)
        self._server = Server(self._journal, store, tables, self._views, limits, threads)

    @property
    def views(self) -> tuple[str, ...]:
        """The names of the views that can be asked."""
        return tuple(self._views)

    def query(self, sql: str) -> Answer:
        """Answer a SELECT over views at the newest cut. Raises: QueryRefused, Corrupt, Timeout, Terminal."""
        if self._closed:
            raise Terminal("this connection was closed: make another with serving.connect()")
        if sql.lstrip().startswith("@"):
            raise QueryRefused("saved queries are of the command `shardlake query`; here, give the SQL")
        return Answer(*self._server.arrow(sql))

    def close(self) -> None:
        """Let go of the journal."""
        self._closed = True
        self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Connection({str(self.root)!r}, views: {', '.join(self.views)})"

    def _repr_html_(self) -> str:
        return connection_html(str(self.root), self._views)


def connect(
    root: str | Path | None = None, config: str | Path | None = None, *, limits: Limits | None = None, threads: int = 2
) -> Connection:
    """Open a root for queries.

    Without `root` it is the one that a `shardlake.toml` names: `config`, or else the nearest one in this folder and its
    parents; without a file it is `.shardlake` here. Raises: ConfigError if nothing is stored there.
    """
    return Connection(_folder(root) if root is not None else _root(config), limits or Limits(), threads)


def _folder(root: str | Path) -> Path:
    folder = Path(root)
    if folder.is_file():
        hint = f'a settings file: connect(config="{root}")' if folder.suffix == ".toml" else "a file: name a folder"
        raise ConfigError(f"{folder} is {hint}")
    return folder


def _stored(root: Path, limits: Limits, catalog: Journal | None) -> tuple[ObjectStore, TableReader]:
    where = storage_file.stored(root)
    if not where.url:
        return LocalObjects(root / OBJECTS), TableReader(root / TABLES)
    from shardlake.adapters.clock import SystemClock  # noqa: PLC0415 - S3 is for those who use it
    from shardlake.adapters.s3.root import S3Root  # noqa: PLC0415

    remote = S3Root.at(root, where, SystemClock(), limits.cache_bytes_max)
    return remote.objects(), TableReader(root / TABLES, remote.tables(), catalog)


def _root(config: str | Path | None) -> Path:
    file = Path(config) if config is not None else settings_file.find(Path.cwd())
    named = settings_file.read(file).get("root", settings_file.ROOT) if file else settings_file.ROOT
    if not isinstance(named, str) or not named:
        raise ConfigError(f"{file}: root is {named!r}; accepted: text, the folder of everything that is stored")
    return (file.absolute().parent if file else Path.cwd()) / Path(named).expanduser()
