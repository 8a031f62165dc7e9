"""Records that somebody else has read of a shard, put into its pages wherever they follow what was read before.

    reader = HandedReader(client)
    reader.hand("shardId-000000000000", page)     # what was handed over
    source = KinesisSource(settings, reader, ...)  # or a table's changes

Nothing tells whoever is handed records whether others came before them. So a shard is asked for what stands behind its
position, a record or two: if that is what was handed over, its pages go on with all of that. If not, something lies
between: it is read, as any source would, until what was handed over follows.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from shardlake.adapters.kinesis.port import RECORDS_MAX, KinesisReader
from shardlake.adapters.kinesis.wire import Page, ShardInfo, StreamInfo
from shardlake.core.errors import Corrupt

LOOK: Final = 2  # the record at the position, which shows that nothing was trimmed, and the one behind it
_BEGIN: Final = -1  # before every sequence number


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an iterator stands: behind the record `at`. `is_behind` if what was handed over is known not to follow."""

    shard: str
    at: int
    is_behind: bool = False


class HandedReader:
    """A `KinesisReader` with records that were handed over; all the rest is the other's."""

    def __init__(self, api: KinesisReader) -> None:
        self._api = api
        self._handed: dict[str, Page] = {}
        self._places: dict[str, _Place] = {}

    def hand(self, shard: str, page: Page) -> None:
        """Take records of a shard, named as in its stream, in their order; none of any other shard are kept."""
        self._handed, self._places = {shard: page}, {}

    def drop(self) -> None:
        """Forget what was handed over: pages are those of the service alone."""
        self._handed, self._places = {}, {}

    def list_shards(
        self,
        stream: str,
        filter: str | None = None,  # noqa: A002 - the service's word
        at_us: int | None = None,
        shard: str | None = None,
    ) -> tuple[ShardInfo, ...]:
        """List the shards."""
        return self._api.list_shards(stream, filter, at_us, shard)

    def describe(self, stream: str) -> StreamInfo:
        """Summarise a stream."""
        return self._api.describe(stream)

    def iterator(self, stream: str, shard: str, kind: str, sequence: str = "", at_us: int = 0) -> str:
        """Get an iterator."""
        found = self._api.iterator(stream, shard, kind, sequence, at_us)
        if shard in self._handed:
            self._places[found] = _Place(shard, int(sequence) if sequence else _BEGIN)
        return found

    def get_records(self, iterator: str, limit: int = RECORDS_MAX, stream: str = "") -> Page:
        """Read a page. Raises: Corrupt if what was handed over is not in the shard."""
        place = self._places.pop(iterator, None)
        rest = None if place is None else beyond(self._handed[place.shard], place.at)
        if place is None or rest is None:
            return self._api.get_records(iterator, limit, stream)
        found = self._api.get_records(iterator, limit if place.is_behind else min(limit, LOOK), stream)
        page, place = _followed(place, found, rest)
        if page.next_iterator is not None:
            self._places[page.next_iterator] = place
        return page


def beyond(page: Page, at: int) -> Page | None:
    """Give the records of a page behind a number; None if there are none."""
    first = next((i for i, number in enumerate(page.sequences) if int(number) > at), len(page))
    return None if first == len(page) else part(page, first, len(page))


def part(page: Page, start: int, stop: int) -> Page:
    """Give some records of a page."""
    return replace(
        page,
        sequences=page.sequences[start:stop],
        data=page.data[start:stop],
        arrivals_us=page.arrivals_us[start:stop],
        keys=page.keys[start:stop],
    )


def _followed(place: _Place, page: Page, rest: Page) -> tuple[Page, _Place]:
    """Let a page go on with the rest of what was handed over, if that follows; and tell where its iterator stands."""
    numbers = [int(number) for number in page.sequences]
    known = sum(number <= place.at for number in numbers)
    wanted = int(rest.sequences[0])
    if known == len(numbers):
        if page.next_iterator is not None:
            return page, place  # an empty page on the way
        following = None
    else:
        following = numbers[known]
        if following < wanted:
            return page, _Place(place.shard, numbers[-1], is_behind=True)
    if following != wanted and (known or place.is_behind):
        raise Corrupt(
            f"record {rest.sequences[0]} was handed over as one of shard {place.shard}, which does not have it behind"
            f" {place.at}: let nobody but the event source mapping of this stream invoke the function"
        )
    # Else what was handed over is not there any more, nor what it follows: whether something lay between is told by
    # time, as of any position whose record is gone.
    last = int(rest.sequences[-1])
    return _joined(part(page, 0, known), rest), _Place(place.shard, last)


def _joined(page: Page, rest: Page) -> Page:
    return replace(
        page,
        sequences=[*page.sequences, *rest.sequences],
        data=[*page.data, *rest.data],
        arrivals_us=np.concatenate([page.arrivals_us, rest.arrivals_us]),
        keys=[*page.keys, *rest.keys],
        behind_ms=0 if page.next_iterator is None else None,
        size=page.size + rest.size,
    )
