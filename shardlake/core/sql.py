"""Names and texts as SQL writes them: the one place where they are quoted."""

from shardlake.core.errors import Corrupt


def identifier(name: str) -> str:
    """Write a name so that no keyword is in its way.

    >>> identifier("at")
    '"at"'
    """
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Write a text. Raises: Corrupt for one with a zero byte, which SQL cannot hold.

    >>> literal("it's")
    "'it''s'"
    """
    if "\0" in text:
        raise Corrupt("a text with a zero byte names nothing")
    return "'" + text.replace("'", "''") + "'"
