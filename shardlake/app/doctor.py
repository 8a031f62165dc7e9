"""What can be told about an installation before, or while, it works: each check with its outcome and the next step.

Checks change nothing, except that a file is written in the root and removed, and what `put` allows. One that cannot
be made because another failed is left out.
"""

import os
import platform
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from importlib import metadata
from itertools import zip_longest
from operator import eq, ge, gt, le, lt, ne
from pathlib import Path
from typing import Any, Final

from shardlake.adapters.clock import random_name
from shardlake.adapters.disk import translated, write_file
from shardlake.app import compose
from shardlake.app.checks import Check, State, Visit, failed
from shardlake.app.config import DEFAULT
from shardlake.app.counted import counted
from shardlake.app.settings import Config
from shardlake.core.errors import ConfigError, ShardlakeError
from shardlake.core.journal import reading
from shardlake.core.ports import ObjectStore

DISTRIBUTION: Final = "shardlake"
FREE_WARN_BYTES: Final = 5 << 30
FREE_FAIL_BYTES: Final = 256 << 20  # two full chunks
MOUNTS: Final = Path("/proc/mounts")
# SQLite's write-ahead log lies in memory that processes share, which these do not give.
NETWORK: Final = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "fuse.s3fs", "fuse.mount-s3", "lustre")
_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    ">=": ge, "<=": le, "==": eq, "!=": ne, ">": gt, "<": lt,
}  # fmt: skip


def examine(visit: Visit) -> Iterator[Check]:
    """Make all checks that apply, in the order in which things are needed."""
    from shardlake.app.doctor_changes import changes
    from shardlake.app.doctor_source import files, kinesis

    yield from packages()
    yield from settings(visit)
    yield from root(visit)
    yield from journal(visit)
    yield from storage(visit)
    if visit.config.source.is_dynamodb:
        yield from changes(visit)
    elif visit.config.source.is_stream:
        yield from kinesis(visit)
    elif visit.config.source.path:
        yield from files(visit)


# ------------------------------------------------------------------------------------------------------ packages


def packages(distribution: str = DISTRIBUTION) -> Iterator[Check]:
    """Compare the libraries that are installed with those that are required."""
    try:
        required = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        found = f"{distribution} is not installed as a package, so nothing tells what it requires"
        yield Check("packages", "warn", found, "install it with pip or uv")
        return
    wrong = [text for text in map(_lacking, required) if text]
    if wrong:
        yield Check("packages", "fail", "; ".join(wrong), f"install again: pip install --upgrade {distribution}")
        return
    version = metadata.version(distribution)
    found = f"{distribution} {version} on Python {platform.python_version()}; {len(required)} requirements are met"
    yield Check("packages", "ok", found)


def _lacking(requirement: str) -> str:
    """Say what is wrong with a requirement such as `duckdb<3,>=2.0`; "" if nothing is, or if it depends on extras."""
    text, _, marker = requirement.partition(";")
    parts = re.match(r"\s*([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*\(?([^)]*)\)?\s*$", text)
    if marker or parts is None:
        return ""
    name, wanted = parts[1], parts[2].replace(" ", "")
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"{name} is missing"
    return "" if within(found, wanted) else f"{name} is {found}, and must be {wanted}"


def within(version: str, wanted: str) -> bool:
    """Tell whether a version lies in a range; of versions only the leading numbers count.

    >>> within("1.10.0", ">=1.9,<2"), within("2.0.0rc1", "<2"), within("3.1", "")
    (True, False, True)
    """
    for part in filter(None, wanted.split(",")):
        rule = re.match(r"(>=|<=|==|!=|>|<)([0-9.]+)$", part)
        if rule is None:
            continue
        pairs = list(zip_longest(_numbers(version), _numbers(rule[2]), fillvalue=0))
        if not _COMPARE[rule[1]]([a for a, _ in pairs], [b for _, b in pairs]):
            return False
    return True


def _numbers(version: str) -> list[int]:
    found = re.match(r"\d+(\.\d+)*", version)
    return [int(part) for part in found[0].split(".")] if found else []


# ------------------------------------------------------------------------------------------------------ settings


def settings(visit: Visit) -> Iterator[Check]:
    """See that the settings go together, that the views compile, and that what protects has its key."""
    config, changed = visit.config, sum(value.origin != DEFAULT for value in visit.resolved.values.values())
    source = config.source
    differ = f"{changed} {'differs' if changed == 1 else 'differ'} from the defaults"
    yield Check("settings", "ok", f"{visit.resolved.file or 'no shardlake.toml'}; {differ}")
    if bool(source.path) == source.is_stream:
        found = "source.path and source.stream are " + ("both set" if source.path else "not set")
        yield Check("source", "fail", found, "set one of them: where the log files are, or the name of a stream")
    yield from _of_the_pack(visit)


def _of_the_pack(visit: Visit) -> Iterator[Check]:
    """See that the pack, its lookups, the views and what protects are well; each needs those before it but views."""
    config = visit.config
    pack = list(_attempt("pack", "correct source.pack, or source.fields", lambda: _pack(config)))
    yield from pack
    if any(Path(config.lookups.folder).glob("*.toml")) and _is_well(pack):
        pack = list(_attempt("lookups", "correct the declaration, or its table", lambda: _lookups(config)))
        yield from pack
    if _is_well(pack):
        what_next = "name the variable in protect.key_env, and set it"
        yield from _attempt("views", "correct the view, or views.use", lambda: _views(config))
        yield from _attempt("protection", what_next, lambda: _protection(visit))


def _is_well(checks: list[Check]) -> bool:
    return all(check.state == "ok" for check in checks)


def _attempt(check: str, what_next: str, work: Callable[[], str]) -> Iterator[Check]:
    try:
        yield Check(check, "ok", work())
    except ShardlakeError as error:
        yield failed(check, error, what_next)


def _pack(config: Config) -> str:
    """Load the pack by itself: what a lookup lacks is told of the lookup."""
    from shardlake.app.guard import arrow_without_pandas

    arrow_without_pandas()
    from shardlake.packs.registry import load

    pack = load(config.source.pack)
    pack.open("", config.source.fields or (pack.stream_fields if config.source.is_stream else None))
    return f"{pack.name}, with {counted(len(pack.schema.columns), 'column')}"


def _views(config: Config) -> str:
    from shardlake.app.viewset import compile_all

    return f"{', '.join(compile_all(config))} compile"


def _lookups(config: Config) -> str:
    from shardlake.app.viewset import load_pack
    from shardlake.packs.lookups import told

    return "; ".join(told(load_pack(config)))


def _protection(visit: Visit) -> str:
    from shardlake.app.streaming import protect
    from shardlake.app.viewset import load_pack

    chosen = visit.config.protect
    protect(visit.config, load_pack(visit.config), visit.environ)
    count = len({*chosen.mask, *chosen.hash, *chosen.drop})
    are = "is" if count == 1 else "are"
    return f"{counted(count, 'column')} {are} protected" if count else "no column is protected"


# ---------------------------------------------------------------------------------------------------------- root


def root(visit: Visit) -> Iterator[Check]:
    """See that the root can be written, on a disk of this machine with room on it."""
    folder = Path(visit.config.root)
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    yield from _writable(folder, there)
    kind = filesystem(there, MOUNTS.read_text("utf-8") if MOUNTS.exists() else "")
    if kind in NETWORK and _is_elsewhere(visit.config):
        yield Check("file system", "ok", f"{kind}; the journal is not there")
    elif kind in NETWORK:
        found = f"the root lies on a network file system ({kind}); the journal is SQLite, which is not safe there"
        yield Check("file system", "fail", found, "choose a root on a disk that is attached to this machine")
    elif kind:
        yield Check("file system", "ok", kind)
    free = shutil.disk_usage(there).free
    state: State = "fail" if free < FREE_FAIL_BYTES else "warn" if free < FREE_WARN_BYTES else "ok"
    what_next = "" if state == "ok" else "make room, or choose a root on a larger disk: see what grows in operations"
    yield Check("free disk", state, f"{free / 1e9:,.1f} GB", what_next)


def _writable(folder: Path, there: Path) -> Iterator[Check]:
    what_next = "let this user write there, or choose another root"
    if folder.exists() and not folder.is_dir():
        yield Check("root", "fail", f"{folder} is no folder", "choose another root")
        return
    if folder != there:
        if os.access(there, os.W_OK | os.X_OK):
            yield Check("root", "ok", f"{folder} will be made in {there}")
        else:
            yield Check("root", "fail", f"{folder} cannot be made in {there}", what_next)
        return
    probe = folder / f".doctor-{random_name()}"
    try:
        with translated(f"write in {folder}"):
            write_file(probe, b"")
            probe.unlink()
    except (ShardlakeError, OSError) as error:
        yield Check("root", "fail", str(error), what_next)
    else:
        yield Check("root", "ok", f"{folder} can be written")


def filesystem(path: Path, mounts: str) -> str:
    """Find the kind of file system that a path lies on, in the text of /proc/mounts; "" where it does not say."""
    rows = [line.split() for line in mounts.splitlines()]
    resolved = path.resolve()
    # The last one that is mounted over a place hides those before.
    found = [(len(Path(row[1]).parts), i, row[2]) for i, row in enumerate(rows) if resolved.is_relative_to(row[1])]
    return max(found, default=(0, 0, ""))[2]


# ------------------------------------------------------------------------------------------------------- journal


def journal(visit: Visit) -> Iterator[Check]:
    """Open the journal, and see that it knows what the batch tables have counted."""
    from shardlake.app.doctor_journal import MAKE, journal_table
    from shardlake.app.opening import check_tables

    config = visit.config
    try:
        yield from journal_table(visit)
    except ShardlakeError as error:
        yield failed("journal table", error, MAKE)
        return
    try:
        if not compose.begun(config):
            yield Check("journal", "ok", "nothing was stored yet")
            return
        with compose.opened_journal(config) as opened:
            check_tables(opened, config)
            heads = reading.read_heads(opened)
    except ShardlakeError as error:
        yield failed("journal", error, "see backup and restore in the operations guide")
    else:
        entries = sum(head.n for head in heads.values())
        yield Check("journal", "ok", f"lanes: {len(heads)}, entries: {entries:,}; its format is known")


def storage(visit: Visit) -> Iterator[Check]:
    """See that objects in S3 can be listed and read; with `put`, written and removed."""
    if not visit.config.storage.url:
        return
    what_next = "allow what docs/deploy/iam/batch.json names, for this bucket"
    try:
        store = compose.objects(visit.config)
    except ShardlakeError as error:
        yield failed("storage", error, "correct storage.url, storage.region and the credentials")
        return
    yield from _attempt("storage list", what_next, lambda: _list_some(store))
    if _has_begun(visit.config):
        yield from _attempt("storage read", what_next, lambda: _read_one(visit.config, store))
    if visit.put:
        yield from _attempt("storage write", what_next, lambda: _write_one(store))


def _has_begun(config: Config) -> bool:
    with suppress(ShardlakeError):  # the check of the journal tells
        return compose.begun(config)
    return False


def _is_elsewhere(config: Config) -> bool:
    with suppress(ShardlakeError):
        return bool(compose.journal_place(config).url)
    return False


def _list_some(store: ObjectStore) -> str:
    store.list("doctor/")
    return "objects can be listed"


def _read_one(config: Config, store: ObjectStore) -> str:
    with compose.opened_journal(config) as opened:
        refs = [head.state for head in reading.read_heads(opened).values() if head.state is not None]
    for ref in refs[:1]:
        store.get(ref)
    return "a lane's state can be read" if refs else "there is no object yet"


def _write_one(store: ObjectStore) -> str:
    refs = store.put(f"doctor/{random_name()}", {"probe": b""})
    store.delete([ref.name for ref in refs.values()])
    return "an object was written and removed"


def verdict(checks: list[Check]) -> str:
    """Say in one line how it is."""
    failures, warnings = (sum(check.state == state for check in checks) for state in ("fail", "warn"))
    if not failures and not warnings:
        return f"all {len(checks)} checks are well"
    return f"{failures} of {len(checks)} checks failed, {warnings} {'wants' if warnings == 1 else 'want'} a look"


def unreadable(error: ConfigError) -> Check:
    """Make a check of settings that cannot be read; nothing else can be looked at then."""
    return Check("settings", "fail", str(error), "correct it; `shardlake config show` lists all settings")
