"""Every limit, by name, in one place; units last. Each can be set in the configuration."""

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits of the layers, with defaults for two cores and a few GiB."""

    chunk_rows_max: int = 100_000  # per-query overhead is amortised from tens of thousands of rows on
    chunk_bytes_max: int = 128 << 20
    chunk_age_s: float = 1.0
    block_bytes: int = 8 << 20
    line_bytes_max: int = 1 << 20
    bisect_batch_on_function_error: bool = True  # this and the next two are named as in Lambda's event source mapping
    maximum_retry_attempts: int = 0  # decoding depends on the line alone, as a rule: trying it again changes nothing
    maximum_record_age_in_seconds: int = -1
    poison_rows_max: int = 8  # rows of a chunk that fail in one view: beyond that the view is at fault, not the rows
    letter_bytes_max: int = 16 << 20
    ids_max: int = 2_000_000  # remembered event ids per lane: 32 bytes each in memory
    ids_age_s: float = 7 * 86_400.0  # CloudFront delivers up to a day late; a copy may come days later
    id_logs_max: int = 256  # segments whose ids a lane's state names one by one; older ones are folded together
    pages_max: int = 64
    windows_runs_max: int = 64
    commit_retries_max: int = 8
    retry_first_s: float = 0.05
    retry_longest_s: float = 5.0
    poll_interval_s: float = 0.25
    poll_longest_s: float = 1.0
    shard_reads_per_s: float = 5.0  # what a Kinesis shard allows, to all its consumers together
    shard_bytes_per_s: int = 2 << 20
    fetch_threads_max: int = 4
    fetch_bytes_max: int = 64 << 20  # pages that wait to be decoded
    discover_s: float = 30.0
    idle_mark_s: float = 3600.0
    ends_max: int = 50  # shards that end in one commit: a transaction of DynamoDB has at most 100 items
    moves_max: int = 16  # shards that move from or to a lane in one entry
    relist_s: float = 30.0
    cache_bytes_max: int = 10 << 30
    heartbeat_s: float = 1.0
    look_s: float = 0.5
    look_rows_per_s: float = 1_000.0  # shards' rows that a worker reads while nobody comes or goes
    worker_expiry_s: float = 10.0
    stuck_s: float = 45.0  # told at the latest a ninth later: within a minute
    lanes_max: int = 64
    settle_s: float = 1.0
    batch_rows_max: int = 1_000_000  # rows of entries that one pass of a batch run holds in memory: 1.2 GB
    snapshots_max: int = 10
    query_memory: str = "4GB"
    query_timeout_s: float = 300.0
