"""What the notebooks play with: a folder of generated CloudFront logs that arrive, and a root that reads them.

The traffic is the demo's: invented, drawn from a seed, the same each time. Nobody needs this module for a root of his
own: there `shardlake stream run` and `shardlake batch run` do what `Sample.stream` and `Sample.batch` do here.
"""

import gzip
import os
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from shardlake.app.demo.rendering import render
from shardlake.app.demo.traffic import Ints, Traffic, draw
from shardlake.app.demo.world import FIELDS_33, ROBOTS, SCRAPER, SITES
from shardlake.testing.runs import Program

START = datetime(2026, 3, 17, 9, tzinfo=UTC)


@dataclass(frozen=True)
class LogFile:
    """A log file: what it is called, which requests it holds, when the first and the last of them ended, its arrival."""

    name: str
    rows: Ints
    first: datetime
    last: datetime
    arrival: datetime


class Sample:
    """Logs that arrive in a folder, and the program that reads them into a root; all of it vanishes with the kernel."""

    def __init__(
        self, requests: int, *, hours: int = 3, files: int = 24, viewers: int = 20_000, seed: int = 17,
        views: dict[str, str] | None = None, use: tuple[str, ...] = ("all",),
    ) -> None:  # fmt: skip
        self._folder = tempfile.TemporaryDirectory(prefix="shardlake-")
        folder = Path(self._folder.name)
        self.root, self.logs = folder / "root", folder / "logs"
        for made in (self.root, self.logs, folder / "views"):
            made.mkdir()
        for name, sql in (views or {}).items():
            (folder / "views" / f"{name}.sql").write_text(sql)
        self._read: dict[str, pd.DataFrame] = {}
        random = np.random.default_rng(seed)
        self._traffic = draw(requests, hours * 3600, viewers, random)
        self.files = _files(self._traffic, hours, files, random)
        settings = {
            "views.folder": str(folder / "views"),
            "views.use": ",".join(use),
            "limits.chunk_rows_max": "100000",
        }
        self._program = Program(self.root, self.logs, settings)

    @property
    def bots(self) -> frozenset[str]:
        """The user agents that are known to be bots', for the traffic was made up."""
        return frozenset(robot.agent for robot in (*ROBOTS, SCRAPER))

    @staticmethod
    def host(distribution: str) -> str:
        """Say which host the viewers of a distribution ask for."""
        return next(site.host for site in SITES if site.distribution == distribution)

    def arrive(self, files: list[LogFile]) -> None:
        """Put files into the folder, each with the time of its arrival."""
        for file in files:
            header = f"#Version: 1.0\n#Fields: {FIELDS_33}\n".encode()
            path, moment = self.logs / file.name, file.arrival.timestamp()
            path.write_bytes(gzip.compress(header + render(self._traffic, file.rows, START), 1))
            os.utime(path, (moment, moment))

    def stream(self) -> None:
        """Read what has arrived: `shardlake stream run --once`."""
        self._program.run("stream", "run", "--once").expect(0)

    def batch(self) -> None:
        """Bring master dataset and batch views up to date: `shardlake batch run`."""
        self._program.run("batch", "run").expect(0)

    def lines(self) -> pd.DataFrame:
        """Read the raw lines of all files in the folder with pandas alone, as text; each knows its file."""
        names = FIELDS_33.split()
        plain = {"sep": "\t", "skiprows": 2, "names": names, "dtype": str, "keep_default_na": False, "quoting": 3}
        for path in sorted(self.logs.glob("*.gz")):
            if path.name not in self._read:  # a file that has arrived does not change
                self._read[path.name] = pd.read_csv(path, **plain).assign(file=path.name)
        return pd.concat(self._read.values(), ignore_index=True)


def everything(requests: int, *, views: dict[str, str] | None = None, use: tuple[str, ...] = ("all",)) -> Sample:
    """Make a sample whose files have all arrived: two thirds are counted by the batch views, the rest lies beyond.

    `views` are more views, by their names, beside those of the pack; `use` says which of all are kept.
    """
    sample = Sample(requests, views=views, use=use)
    most = len(sample.files) * 2 // 3
    sample.arrive(sample.files[:most])
    sample.stream()
    sample.batch()
    sample.arrive(sample.files[most:])
    sample.stream()
    return sample


def _files(traffic: Traffic, hours: int, files: int, random: np.random.Generator) -> list[LogFile]:
    """Cut each site's hour into files, in the order of their arrival; every eighth one comes again under a new name."""
    second, site = traffic.columns["second"], traffic.columns["site"]
    made = []
    for hour in range(hours):
        for number, one in enumerate(SITES):
            rows = np.flatnonzero((second // 3600 == hour) & (site == number))
            stem = f"{one.distribution}.{START + timedelta(hours=hour):%Y-%m-%d-%H}"
            parts = max(1, round(files * len(rows) / len(second)))
            for part in np.array_split(rows[np.argsort(second[rows], kind="stable")], parts):
                first, last = (START + timedelta(seconds=int(second[row])) for row in (part[0], part[-1]))
                arrival = last + timedelta(seconds=random.exponential(240))
                made.append(LogFile(_name(stem, random), random.permutation(part), first, last, arrival))
    copies = [
        replace(file, name=_name(file.name.rsplit(".", 2)[0], random), arrival=file.arrival + timedelta(minutes=15))
        for file in made[3::8]
    ]
    return sorted([*made, *copies], key=lambda file: file.arrival)


def _name(stem: str, random: np.random.Generator) -> str:
    return f"{stem}.{int(random.integers(0, 1 << 32)):08x}.gz"
