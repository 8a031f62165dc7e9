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
    """Where an iterator stands: behind the record `at`, which was seen if `is_there`.

    `is_behind` tells that what was handed over is known not to follow yet.
    """

    shard: str
    at: int
    is_there: bool = False
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
        if page.next_iterator is not None:  # an empty page on the way
            return page, replace(place, is_there=place.is_there or known > 0)
        following = None
    else:
        following = numbers[known]
        if following < wanted:
            return page, _Place(place.shard, numbers[-1], is_there=True, is_behind=True)
    last = int(rest.sequences[-1])
    is_strange = following != wanted and (known or place.is_there)
    if is_strange or (page.next_iterator is None and numbers and last > numbers[-1]):
        raise Corrupt(
            f"records up to {last} were handed over as those of shard {place.shard}, which does not have all of them"
            f" behind {place.at}: let nobody but the event source mapping of this stream invoke the function"
        )
    # If it is not there any more, nor what it follows, then time tells whether something lay between, as of any
    # position whose record is gone.
    fresh = part(page, known, len(numbers))
    return _joined(part(page, 0, known), _merged(fresh, rest), page), _Place(place.shard, max([last, *numbers]))


def _merged(page: Page, rest: Page) -> Page:
    """Put the records of two pages in order, each once."""
    there = set(rest.sequences)
    if all(number in there for number in page.sequences):  # as nearly always
        return rest
    every = [*rest.sequences, *page.sequences]
    at = {int(number): i for i, number in enumerate(every)}
    order = [at[number] for number in sorted(at)]
    data, keys = [*rest.data, *page.data], [*rest.keys, *page.keys]
    return replace(
        rest,
        sequences=[every[i] for i in order],
        data=[data[i] for i in order],
        arrivals_us=np.concatenate([rest.arrivals_us, page.arrivals_us])[order],
        keys=[keys[i] for i in order],
    )


def _joined(known: Page, fresh: Page, told: Page) -> Page:
    """Put records behind those that are known, with what a page told of the shard."""
    return replace(
        told,
        sequences=[*known.sequences, *fresh.sequences],
        data=[*known.data, *fresh.data],
        arrivals_us=np.concatenate([known.arrivals_us, fresh.arrivals_us]),
        keys=[*known.keys, *fresh.keys],
        behind_ms=0 if told.next_iterator is None else None,
        size=told.size + fresh.size,
    )
