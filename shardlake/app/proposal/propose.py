"""From a sample to the files of a pack, which are tried on the sample before anybody sees them."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from shardlake.adapters.engine import Engine
from shardlake.app.proposal.columns import choose
from shardlake.app.proposal.layout import layout_of
from shardlake.app.proposal.nulls import null_words
from shardlake.app.proposal.sample import Sample
from shardlake.app.proposal.seen import look
from shardlake.app.proposal.views import views_of
from shardlake.app.proposal.writing import pack_toml
from shardlake.app.trial import Trial
from shardlake.core.compiler import compile_view
from shardlake.packs.declared.declaration import FILE
from shardlake.packs.declared.pack import DeclaredPack
from shardlake.packs.pack import Letter


@dataclass(frozen=True, slots=True)
class Proposal:
    """The files of a pack by their paths inside of its folder, and its views, of which the first is to be asked."""

    name: str
    files: Mapping[str, str]
    views: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """What a pack made of the sample: rows, dead letters, and how many lines there were that hold something."""

    rows: pa.Table
    letters: tuple[Letter, ...]

    @property
    def lines(self) -> int:
        """How many lines were a row or a dead letter."""
        return int(self.rows.num_rows) + len(self.letters)


def propose(sample: Sample, name: str) -> Proposal:
    """Propose a pack. Raises: ConfigError for a sample that no pack can be made of."""
    engine = Engine(threads=1)
    try:
        layout = layout_of(sample)
        seen = look(sample.block, layout, engine)
        if layout.format != "json" and (words := null_words(seen.texts, engine)):
            layout = replace(layout, nulls=(*layout.usual_nulls, *words))
            seen = look(sample.block, layout, engine)
        chosen = choose(seen, engine)
    finally:
        engine.close()
    views = views_of(name, chosen)
    declared = pack_toml(name, sample.path.name, layout, seen, chosen)
    return Proposal(name, {FILE: declared} | {f"views/{view}.sql": sql for view, sql in views.items()}, tuple(views))


def check(proposal: Proposal, sample: Sample) -> Checked:
    """Write the files aside, load them as the pack that they are, compile the views and read the sample with it.

    Raises: ConfigError, ViewRefused.
    """
    with tempfile.TemporaryDirectory() as folder:
        for place, text in proposal.files.items():
            path = Path(folder) / place
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")
        pack = DeclaredPack(Path(folder), proposal.name)
    trial = Trial(pack.schema)
    for name, sql in pack.views.items():
        trial.passed(compile_view(name, sql, pack.schema))
    decoded = pack.open(sample.path.name).decode(sample.block)
    return Checked(pack.enrich(decoded.rows), decoded.letters)
