"""Every setting there is: its section, its type with the values that are accepted, its default and what it means."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import msgspec
from msgspec import Meta

from shardlake.core.limits import Limits

ENV_PREFIX: Final = "SHARDLAKE_"
ALL_VIEWS: Final = "all"


def _about(text: str, **limits: Any) -> Meta:
    return Meta(description=text, **limits)


class SourceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where events come from."""

    name: Annotated[
        str,
        _about(
            "name of the source in the journal, by default its pack's; not to be changed later",
            pattern="^[a-z][a-z0-9_]{0,31}$",
        ),
    ] = "cloudfront"
    pack: Annotated[
        str, _about("what kind of data it is: a pack that comes with Shardlake, or the path of a pack's folder")
    ] = "cloudfront"
    path: Annotated[
        str, _about("a folder (with all below it), a file, or a glob pattern of log files, also s3://bucket/prefix")
    ] = ""
    kind: Annotated[
        Literal["auto", "files", "kinesis", "dynamodb"],
        _about("what is read; auto: what source.path, source.stream or source.table names"),
    ] = "auto"
    stream: Annotated[
        str, _about("a Kinesis stream, by its name or ARN, or the ARN of a table's stream, instead of files")
    ] = ""
    table: Annotated[str, _about("a DynamoDB table, whose changes are read from the stream that it has")] = ""
    region: Annotated[str, _about("AWS region; by default that of the environment or of the AWS configuration")] = ""
    endpoint: Annotated[str, _about("URL of a service that speaks like AWS, for tests; by default AWS itself")] = ""
    start: Annotated[
        Literal["trim_horizon", "latest"],
        _about("where a stream is read from the first time: its oldest record, or what comes from then on"),
    ] = "trim_horizon"
    fields: Annotated[
        tuple[str, ...], _about("the fields of a stream's lines, in their order, where it is not the pack's own")
    ] = ()
    sampling_rate: Annotated[
        float, _about("percent of the requests that the stream holds; shown, never used to scale", gt=0, le=100)
    ] = 100.0
    engine: Annotated[Literal["shardlake", "kinesis-python"], _about("what reads the stream's shards")] = "shardlake"
    fan_out: Annotated[
        str,
        _about("name or ARN of a consumer that is registered with the stream, to have records pushed, not polled"),
    ] = ""
    queue: Annotated[
        str, _about("URL of an SQS queue with notifications of the S3 bucket, to hear of files sooner")
    ] = ""
    buckets: Annotated[
        int, _about("how many shards the files are spread over; not to be changed later", ge=1, le=10_000)
    ] = 16
    on_change: Annotated[
        Literal["fail", "new", "dlq"],
        _about(
            "when a file has new contents under its old name: stop, read it again as a new file, or write a dead letter"
        ),
    ] = "fail"
    on_gap: Annotated[
        Literal["fail", "dlq", "continue"],
        _about("when a file or records disappear before they were read: stop, write a dead letter, or just go on"),
    ] = "fail"
    discover_max: Annotated[int, _about("how many new files are taken in at once", ge=1)] = 10_000

    @property
    def is_stream(self) -> bool:
        """Tell whether it is a stream, which any number of processes read, and no files."""
        return bool(self.stream or self.table) or self.kind in ("kinesis", "dynamodb")

    @property
    def is_dynamodb(self) -> bool:
        """Tell whether it is the changes of a table."""
        return self.kind == "dynamodb" or (self.kind == "auto" and bool(self.table or ":dynamodb:" in self.stream))

    @property
    def place(self) -> str:
        """Name where events come from."""
        return self.stream or self.table or self.path


class ProtectSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is protected before anything is stored."""

    mask: Annotated[tuple[str, ...], _about("columns whose values are replaced by ***")] = ()
    hash: Annotated[tuple[str, ...], _about("columns whose values are replaced by a keyed hash")] = ()
    drop: Annotated[tuple[str, ...], _about("columns whose values are not kept")] = ()
    key_env: Annotated[
        str, _about("name of the environment variable that holds the key of the hash, never the key itself")
    ] = ""


class ViewSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which views are kept."""

    folder: Annotated[str, _about("folder of your own views, one .sql file each, beside those of the pack")] = "views"
    use: Annotated[
        tuple[str, ...],
        _about('names of the views to keep; "all" means all but the optional ones, which are named beside it'),
    ] = (ALL_VIEWS,)


class LookupSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which reference data is joined to events when they are read."""

    folder: Annotated[str, _about("folder of the files that declare lookups, one .toml file each")] = "lookups"


class QuerySettings(msgspec.Struct, frozen=True, kw_only=True):
    """How queries run."""

    threads: Annotated[int, _about("threads of one query", ge=1, le=1024)] = 2
    timezone: Annotated[
        str,
        _about(
            "time zone in which tables, csv and plots show times: UTC, local, a name such as Europe/Berlin, or an"
            " offset such as +05:30",
            min_length=1,
        ),
    ] = "UTC"
    folder: Annotated[str, _about("folder of your own saved queries, one .sql file each, beside those of the pack")] = (
        "queries"
    )


class BatchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How batch runs work."""

    threads: Annotated[int, _about("threads of a batch run", ge=1, le=1024)] = 2


class JournalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the journal is. In DynamoDB it is shared by machines, which then share storage.url too."""

    url: Annotated[
        str, _about("a table in DynamoDB and a name in it, as dynamodb://TABLE/APP; by default a file in the root")
    ] = ""
    endpoint: Annotated[str, _about("URL of a service that speaks like DynamoDB; by default AWS itself")] = ""
    region: Annotated[str, _about("AWS region of the table; by default that of the environment")] = ""


class StorageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where objects and the files of batch tables are."""

    url: Annotated[str, _about("a place in S3, such as s3://bucket/prefix; by default they are below the root")] = ""
    endpoint: Annotated[str, _about("URL of a service that speaks like S3; by default AWS itself")] = ""
    region: Annotated[str, _about("AWS region of the bucket; by default that of the environment")] = ""


class MetricsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where a stream process tells Prometheus its numbers."""

    port: Annotated[int, _about("port of the numbers, one for each process; 0 serves none", ge=0, le=65_535)] = 0
    host: Annotated[
        str, _about("address that the port is opened at; any but this machine's own lets others read", min_length=1)
    ] = "127.0.0.1"


class HandlerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a function of AWS Lambda takes what it is given."""

    records: Annotated[
        Literal["handed", "read"],
        _about(
            "take records as they are handed over, which needs an event source mapping that leaves none out; or read"
            " them from the stream, whatever it is set to"
        ),
    ] = "handed"


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All settings together. Paths are absolute, but for an empty `source.path`, which means that there is none."""

    root: Annotated[str, _about("folder of everything that is stored: journal, objects, tables", min_length=1)] = (
        ".shardlake"
    )
    source: SourceSettings = SourceSettings()
    journal: JournalSettings = JournalSettings()
    storage: StorageSettings = StorageSettings()
    protect: ProtectSettings = ProtectSettings()
    views: ViewSettings = ViewSettings()
    lookups: LookupSettings = LookupSettings()
    query: QuerySettings = QuerySettings()
    batch: BatchSettings = BatchSettings()
    metrics: MetricsSettings = MetricsSettings()
    handler: HandlerSettings = HandlerSettings()
    limits: Limits = Limits()


# The kernel's limits are plain numbers; what they mean to a user stands here.
LIMITS: Final[Mapping[str, str]] = {
    "chunk_rows_max": "rows after which a chunk is committed",
    "chunk_bytes_max": "bytes of rows and of their lines in memory after which a chunk is committed",
    "chunk_age_s": "seconds after which a chunk is committed as it is: how old answers are at most, about",
    "block_bytes": "bytes that are read of a file at once",
    "line_bytes_max": "a longer line is a dead letter",
    "bisect_batch_on_function_error": "whether a line that makes its pack or a view fail is found and set apart",
    "maximum_retry_attempts": "how often records that cannot be decoded are tried again; -1: for ever, shard by shard",
    "maximum_record_age_in_seconds": "records that are older are not tried again; -1: however old they are",
    "poison_rows_max": "rows of one chunk that are set apart because a view fails on them; if there are more it fails",
    "letter_bytes_max": "bytes of a broken line that are kept in a dead letter",
    "ids_max": "event ids remembered per lane, to know duplicates by; 32 bytes each",
    "ids_age_s": "seconds of arrival for which event ids are remembered",
    "id_logs_max": "segments that a lane names for its event ids, after which they are joined into one object",
    "pages_max": "lists of discovered files after which they are joined into one",
    "windows_runs_max": "stretches of windows noted for each file",
    "commit_retries_max": "how often a commit is sent again",
    "retry_first_s": "seconds before something is tried for the second time",
    "retry_longest_s": "seconds at most between two tries",
    "poll_interval_s": "seconds between two looks for files, or two reads of a shard, when there is nothing to read",
    "poll_longest_s": "seconds between two reads of a shard that has had nothing for long",
    "shard_reads_per_s": "reads of one Kinesis shard a second, at most",
    "shard_bytes_per_s": "bytes of one Kinesis shard a second, at most, on the whole",
    "fetch_threads_max": "threads that fetch pages of a stream",
    "fetch_bytes_max": "bytes of fetched pages that wait to be decoded, beside one page for each thread",
    "discover_s": "seconds between two complete listings of a stream's shards",
    "idle_mark_s": "seconds after which a lane that reads nothing stores how far it has looked",
    "ends_max": "shards that end in one commit, at most",
    "relist_s": "seconds between two complete listings of log files in S3",
    "cache_bytes_max": "bytes of the local cache of what is stored in S3; what was just used stays beyond that",
    "heartbeat_s": "seconds after which a worker without commits gives a sign of life",
    "look_s": "seconds between two looks at the other workers",
    "worker_expiry_s": "seconds without a sign of life after which a worker counts as dead",
    "stuck_s": "seconds without progress after which a shard that has something to read is told to be stuck",
    "lanes_max": "lanes of one source, and so workers that read it",
    "moves_max": "shards that move from or to a lane in one entry, at most",
    "look_rows_per_s": "shards' rows that a worker reads each second while nobody comes or goes",
    "settle_s": "a file is read when it has not changed for so many seconds",
    "batch_rows_max": "rows that one pass of a batch run takes at most",
    "snapshots_max": "snapshots that are kept of each batch table",
    "query_memory": "memory of one query or batch run, such as 4GB",
    "query_timeout_s": "seconds that a query may run",
}
_MEMORY: Final = r"^\d+(\.\d+)? ?([kKMGT]i?)?B$"
_SECONDS_MAX: Final = 10.0**9
_OWN_RULES: Final[Mapping[str, Meta]] = {
    "query_memory": Meta(pattern=_MEMORY),
    "query_timeout_s": Meta(gt=0, le=10.0**6),  # a timer of the operating system takes no more
    "snapshots_max": Meta(ge=1, le=1000),
    "ends_max": Meta(ge=1, le=98),  # beside an entry and its head: a transaction of DynamoDB has at most 100 rows
    "moves_max": Meta(ge=1, le=32),  # each with two parents
    "stuck_s": Meta(ge=1, le=_SECONDS_MAX),  # it is looked for nine times in that time
    "bisect_batch_on_function_error": Meta(),
    "maximum_retry_attempts": Meta(ge=-1, le=10_000),
    "maximum_record_age_in_seconds": Meta(ge=-1, le=604_800),
    "poison_rows_max": Meta(ge=0),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its dotted key, the type that values are checked against, its default and its meaning."""

    key: str
    type: Any
    default: Any
    about: str

    @property
    def env(self) -> str:
        """The environment variable that sets it."""
        return ENV_PREFIX + self.key.upper().replace(".", "_")

    @property
    def section(self) -> str:
        """The table of the file that it stands in; "" for the top."""
        return self.key.rpartition(".")[0]

    @property
    def is_list(self) -> bool:
        """Tell whether it takes several names."""
        return get_origin(_plain(self.type)) is tuple

    @property
    def accepted(self) -> str:
        """Say which values are accepted."""
        plain, rules = _plain(self.type), _rules(self.type)
        if get_origin(plain) is Literal:
            return ", ".join(map(str, get_args(plain)))
        if self.is_list:
            return "a list of names"
        if plain is bool:
            return "true, false"
        if plain is str:
            return _texts(self.key, rules)
        return ("a whole number" if plain is int else "a number") + _range(rules)


@cache
def settings() -> Mapping[str, Setting]:
    """All settings by their keys, in the order in which they are shown."""
    return {setting.key: setting for setting in (*_of(Config, ""), *_limits())}


def sections() -> Mapping[str, str]:
    """What each section is about, by its name."""
    found = {f.name: f.type.__doc__ or "" for f in msgspec.structs.fields(Config) if f.name not in ("root", "limits")}
    return found | {"limits": "Limits. Each has a name and a default; seldom is there a reason to change one."}


def _of(kind: type[msgspec.Struct], prefix: str) -> Iterator[Setting]:
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            if field.type is not Limits:
                yield from _of(field.type, f"{field.name}.")
        else:
            about = next(m.description for m in _rules(field.type) if m.description)
            yield Setting(prefix + field.name, field.type, field.default, about)


def _limits() -> Iterator[Setting]:
    for field in msgspec.structs.fields(Limits):
        numbers = Meta(ge=1) if field.type is int else Meta(ge=0, le=_SECONDS_MAX)
        rules = _OWN_RULES.get(field.name, numbers)
        yield Setting(f"limits.{field.name}", Annotated[field.type, rules], field.default, LIMITS.get(field.name, ""))


def _plain(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _rules(kind: Any) -> tuple[Meta, ...]:
    return tuple(m for m in get_args(kind)[1:] if isinstance(m, Meta)) if get_origin(kind) is Annotated else ()


def _texts(key: str, rules: tuple[Meta, ...]) -> str:
    if not any(rule.pattern for rule in rules):
        return "text"
    return "a size such as 500MB or 4GB" if key.endswith("memory") else "a name of small letters, digits and _"


def _range(rules: tuple[Meta, ...]) -> str:
    for rule in rules:
        low = f" above {rule.gt:g}" if rule.gt is not None else f" from {rule.ge:g}" if rule.ge is not None else ""
        if low:
            return low + (f" to {rule.le:,.0f}" if rule.le is not None else " up")
    return ""
