"""Counts of things as people read them."""


def counted(count: int, one: str, many: str = "") -> str:
    """Write a count and what it counts; `many` is for words that take more than an s.

    >>> counted(1, "entry", "entries"), counted(1200, "row"), counted(0, "row")
    ('1 entry', '1,200 rows', '0 rows')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"
