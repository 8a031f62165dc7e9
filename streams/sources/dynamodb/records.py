"""Pages of changes to lines with positions: one or two lines a record."""

import numpy as np

from shardlake.adapters.kinesis.wire import Page
from streams.sources.kinesis.records import Lines


def change_lines_of(page: Page) -> Lines:
    """Give the lines of a page. Its records are no aggregates, and none has more lines than its two images."""
    data = page.data
    is_two = np.fromiter((b"\n" in one for one in data), np.bool_, len(data))
    record = np.repeat(np.arange(len(data), dtype=np.int64), is_two + np.int64(1))
    subs = np.zeros(len(record), np.int64)
    subs[1:] = record[1:] == record[:-1]
    return Lines(b"\n".join(data), record, subs)
