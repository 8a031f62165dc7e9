"""Columns come and go with lookups while a root goes on: what was joined stays, what was not is NULL."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from batch.rebuild import rebuild
from batch.run import run as run_batch
from shardlake.adapters.engine import Engine
from shardlake.adapters.iceberg.tables import IcebergTables
from shardlake.app import compose, config
from shardlake.app.logs import make_log
from shardlake.app.settings import Config
from shardlake.app.streaming import stream
from shardlake.app.verify import verify
from shardlake.app.viewset import compiled_views
from shardlake.core.errors import ConfigError, Conflict
from shardlake.core.journal import reading

FIELDS = "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(User-Agent)"
EDGES = ("FRA56-P4", "LHR3-C1", "XYZ1-C1", "-")
SITES = {"FRA": "Frankfurt am Main", "LHR": "London"}
DECLARED = """table = "{table}"
on = "x_edge_location"
match = "prefix"
key = "code"
[columns]
edge_city = "city"
edge_floor = {{ column = "floor", type = "BIGINT" }}
"""
PLACES = """-- description: requests by place
SELECT time_bucket(INTERVAL '1 hour', event_time) AS hour, edge_city, edges_version, count(*) AS requests,
    sum(edge_floor) AS floors
FROM cloudfront GROUP BY hour, edge_city, edges_version
"""
# An event as the oracle keeps it: its edge, and the version that it was joined to (None: before or without the lookup).
Event = tuple[str, str | None]


@dataclass
class Site:
    """A folder with logs, lookups and views, and a plain list of what is in it."""

    folder: Path
    events: list[Event] = field(default_factory=list)
    files: int = 0
    floors: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def config(self) -> Config:
        return config.load({}, {}, self.folder).config

    def declare(self, version: str, floors: dict[str, int]) -> None:
        """Declare the lookup, with a table of another version."""
        self.floors[version] = floors
        (self.folder / "lookups").mkdir(exist_ok=True)
        rows = [f"{code},{SITES[code]},{floors[code]}" for code in SITES]
        (self.folder / "lookups" / "sites.csv").write_text("\n".join(["code,city,floor", *rows]) + "\n")
        text = DECLARED.format(table="sites.csv").replace("key =", f'version = "{version}"\nkey =')
        (self.folder / "lookups" / "edges.toml").write_text(text)
        self.watch()

    def watch(self) -> None:
        (self.folder / "views").mkdir(exist_ok=True)
        (self.folder / "views" / "places.sql").write_text(PLACES)

    def forget(self) -> None:
        """Take the lookup and the view of its columns away."""
        (self.folder / "lookups" / "edges.toml").unlink()
        (self.folder / "views" / "places.sql").unlink()

    def streamed(self, version: str | None, rows: int = 8) -> None:
        """Write a file of requests and read it; the lookup in force has that version."""
        self.files += 1
        lines = ["#Version: 1.0", f"#Fields: {FIELDS} x-edge-request-id"]
        for n in range(rows):
            edge = EDGES[n % len(EDGES)]
            line = f"2026-03-0{1 + n % 2} 10:00:00 {edge} {n} 10.0.0.1 GET d1 /a 200 curl/8.5.0 id-{self.files}-{n}"
            lines.append(line.replace(" ", "\t"))
            self.events.append((edge, version))
        path = self.folder / "logs" / f"E2EXAMPLE1234.2026-03-01-10.{self.files:08x}.log"
        path.write_text("\n".join(lines) + "\n")
        os.utime(path, (1_700_000_000, 1_700_000_000))
        done = stream(self.config, {}, make_log(verbose=0, as_json=True), lambda: False, once=True)
        assert done.rows == rows

    def batched(self, *, anew: str = "") -> None:
        """Run the batch layer; `anew` names a view to be rebuilt."""
        views = compiled_views(self.config)
        with compose.batch_context(self.config, lambda _: None) as context:
            if anew:
                rebuild(context, views[anew])
            else:
                run_batch(context, list(views.values()))

    def asked(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in compose.server(self.config).rows(sql).rows]

    def holds(self) -> None:
        """See that answers are those of the plain list, and that what is stored agrees with its rows."""
        views = list(compiled_views(self.config).values())
        assert self.asked("SELECT sum(requests) FROM viewers") == [(len(self.events),)]
        if any(view.name == "places" for view in views):
            found = self.asked("SELECT edge_city, edges_version, sum(requests), sum(floors) FROM places GROUP BY ALL")
            assert {(c, v): (int(n), None if f is None else int(f)) for c, v, n, f in found} == self.expected()
        engine = Engine(threads=1)
        with compose.opened_journal(self.config) as journal:
            seen = verify(journal, compose.objects(self.config), compose.tables(self.config), views, engine)
        engine.close()
        assert {view.view: view.differing for view in seen} == {view.name: 0 for view in views}

    def expected(self) -> dict[tuple[str | None, str | None], tuple[int, int | None]]:
        met = [(SITES.get(edge[:3]) if v else None, v, edge[:3]) for edge, v in self.events]
        counts = Counter((city, v) for city, v, _ in met)
        floors: dict[tuple[str | None, str | None], int | None] = dict.fromkeys(counts)
        for city, v, code in met:
            if city and v:
                floors[city, v] = (floors[city, v] or 0) + self.floors[v][code]
        return {key: (count, floors[key]) for key, count in counts.items()}

    def master(self) -> list[dict[str, Any]]:
        """The rows of the master dataset, as another program reads the table."""
        from pyiceberg.catalog.sql import SqlCatalog

        with compose.opened_journal(self.config) as journal:
            table = reading.read_pointers(journal)["master"].table
        root = Path(self.config.root) / "tables"
        catalog = SqlCatalog("shardlake", uri=f"sqlite:///{root}/catalog.sqlite", warehouse=str(root))
        rows: list[dict[str, Any]] = catalog.load_table(("shardlake", table)).scan().to_arrow().to_pylist()
        catalog.engine.dispose()
        return rows


@pytest.fixture(name="site")
def _site(tmp_path: Path) -> Site:
    (tmp_path / "logs").mkdir()
    (tmp_path / "shardlake.toml").write_text(
        "[source]\npath = 'logs'\nbuckets = 1\n[limits]\nsettle_s = 0\n[views]\nuse = 'all'\n"
    )
    return Site(tmp_path)


def test_a_lookup_is_added_to_a_root_that_has_data(site: Site) -> None:
    site.streamed(None)
    site.batched()
    site.streamed(None)  # beyond the seam, without the columns
    site.declare("2026-11", {"FRA": 3, "LHR": 5})
    site.holds()  # a view of columns that no row has
    site.streamed("2026-11")
    site.holds()
    site.batched()
    site.holds()
    site.declare("2026-12", {"FRA": 4, "LHR": 0})
    site.streamed("2026-12")
    site.holds()
    site.batched(anew="places")
    site.holds()
    site.batched()
    site.holds()
    held = Counter((row["edge_city"], row["edges_version"], row["edge_floor"]) for row in site.master())
    expected: dict[tuple[str | None, str | None, int | None], int] = {(None, None, None): 16}
    for version, floors in site.floors.items():
        expected[None, version, None] = 4
        expected |= {(SITES[code], version, floor): 2 for code, floor in floors.items()}
    assert held == expected


def test_a_lookup_is_taken_away_and_comes_back(site: Site) -> None:
    site.declare("1", {"FRA": 3, "LHR": 5})
    site.streamed("1")
    site.batched()
    site.streamed("1")  # batch takes it when the lookup is gone
    site.forget()
    site.holds()
    site.streamed(None)
    site.holds()
    site.batched()
    site.holds()
    site.streamed(None)
    site.batched()  # only files that never had the columns
    site.declare("2", {"FRA": 1, "LHR": 1})
    site.holds()
    site.streamed("2")
    site.holds()
    site.batched()
    site.batched(anew="places")
    site.holds()
    assert Counter(row["edges_version"] for row in site.master()) == {None: 16, "1": 16, "2": 8}


def test_what_was_joined_is_kept_by_a_batch_run_that_knows_nothing_of_the_lookup(site: Site) -> None:
    site.declare("1", {"FRA": 3, "LHR": 5})
    site.streamed("1")
    site.forget()
    site.streamed(None)
    site.batched()
    site.declare("2", {"FRA": 1, "LHR": 1})
    site.holds()
    assert Counter(row["edge_floor"] for row in site.master()) == {None: 12, 3: 2, 5: 2}


def test_a_column_keeps_its_type(site: Site) -> None:
    site.declare("1", {"FRA": 3, "LHR": 5})
    site.streamed("1")
    file = site.folder / "lookups" / "edges.toml"
    file.write_text(file.read_text().replace("BIGINT", "DOUBLE"))
    (site.folder / "views" / "places.sql").unlink()
    with pytest.raises(ConfigError, match="column edge_floor of cloudfront is DOUBLE, and was BIGINT in events"):
        site.streamed(None)
    file.write_text(file.read_text().replace("DOUBLE", "BIGINT"))
    site.events = site.events[:8]
    site.watch()
    site.holds()


def test_a_column_of_another_type_does_not_reach_the_master(site: Site) -> None:
    site.declare("1", {"FRA": 3, "LHR": 5})
    site.streamed("1")
    site.batched()
    site.streamed("1")
    file = site.folder / "lookups" / "edges.toml"
    file.write_text(file.read_text().replace("BIGINT", "DOUBLE"))
    with pytest.raises(ConfigError, match="column edge_floor BIGINT is edge_floor DOUBLE in the source as it is"):
        site.batched()
    file.write_text(file.read_text().replace("DOUBLE", "BIGINT"))
    site.batched()
    site.holds()


def test_a_run_that_dies_after_the_columns_were_added_is_run_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.streamed(None)
    site.batched()
    site.declare("1", {"FRA": 3, "LHR": 5})
    site.streamed("1")

    def dies(*_: object) -> None:
        raise Conflict("the process died here")

    with monkeypatch.context() as patched:
        patched.setattr(IcebergTables, "commit", dies)
        with pytest.raises(Conflict):
            site.batched()
    site.holds()
    site.forget()  # nor is it in the way of those who know nothing of it
    site.streamed(None)
    site.batched()
    site.holds()
    assert Counter(row["edges_version"] for row in site.master()) == {None: 16, "1": 8}
