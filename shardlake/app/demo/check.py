"""Holds a final cut against the producer's log: nothing that was put may be missing, or counted in two places."""

from collections import Counter
from collections.abc import Mapping

from shardlake.app.demo.generator import Produced
from shardlake.app.demo.oracle import Cut, Expected


def lacking(produced: Produced, cut: Cut) -> tuple[str, ...]:
    """Say in sentences what of the produced files a final cut lacks, or has twice, or in buckets that should be one."""
    found = Counter(covered.name for files in cut.values() for covered in files)
    reach = {covered.name: covered.lines for files in cut.values() for covered in files}
    problems = [f"{file.name} is not in the cut" for file in produced.files if file.name not in found]
    problems += [f"{name} is in the cut {times} times" for name, times in found.items() if times > 1]
    for file in produced.files:
        lines = reach.get(file.name)
        if lines is not None and lines < file.lines:
            problems.append(f"{file.name} is covered up to line {lines} of {file.lines}")
    return (*problems, *_parted(cut))


def _parted(cut: Cut) -> list[str]:
    """Copies of one hour are only known as copies in one bucket."""
    buckets: dict[str, set[str]] = {}
    for bucket, files in cut.items():
        for covered in files:
            buckets.setdefault(covered.name.rsplit(".", 2)[0], set()).add(bucket)
    return [f"the files of {hour} lie in {len(of)} buckets" for hour, of in buckets.items() if len(of) > 1]


def miscounted(produced: Produced, expected: Expected) -> tuple[str, ...]:
    """Say what the plain count over everything found otherwise than the producer knows it to be."""
    delivered = sum(file.events for file in produced.files)
    broken = sum(len(file.broken) for file in produced.files)
    return unequal(expected, produced.distinct, delivered - produced.distinct, broken)


def unequal(expected: Expected, events: int, duplicates: int, broken: int) -> tuple[str, ...]:
    """Say which of a plain count's totals are not those that were produced."""
    known: Mapping[str, tuple[int, int]] = {
        "events": (events, expected.events),
        "duplicates": (duplicates, expected.duplicates),
        "broken lines": (broken, expected.broken),
    }
    return tuple(f"{what}: {put} produced, {got} counted" for what, (put, got) in known.items() if put != got)
