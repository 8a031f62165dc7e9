"""What a plot is drawn on: how large it is, and whether colours and more than ASCII can be shown."""

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import click

WIDTHS: Final = (40, 200)
HEIGHTS: Final = (12, 40)
BLOCKS: Final = " ▏▎▍▌▋▊▉█"
_SAMPLE: Final = f"{BLOCKS}▐│┤└┬─⣿"


@dataclass(frozen=True, slots=True)
class Paper:
    """So many columns and lines. Without `wide_characters` only ASCII is drawn."""

    width: int = 80
    height: int = 24
    colours: bool = False
    wide_characters: bool = True

    def painted(self, text: str, colour: str) -> str:
        """Colour a text, if colours are shown."""
        return click.style(text, fg=colour) if self.colours and colour else text

    def fitted(self, text: str, width: int) -> str:
        """Cut a text to so many columns of a terminal, or fill it up; CJK characters take two.

        >>> [Paper().fitted(text, 6) for text in ("Frankfurt", "東京都庁", "a")]
        ['Frank…', '東京… ', 'a     ']
        """
        from rich.cells import cell_len, set_cell_size

        if cell_len(text) > width:
            text = set_cell_size(text, max(0, width - 1)).rstrip() + ("…" if self.wide_characters else "~")
        return text + " " * (width - cell_len(text))

    def dim(self, text: str) -> str:
        """Write what matters less."""
        return click.style(text, dim=True) if self.colours else text


def paper(spare: int) -> Paper:
    """Measure the terminal, or take 80 by 24 where there is none; `spare` lines are left for what stands below."""
    size = shutil.get_terminal_size()
    width = min(max(size.columns, WIDTHS[0]), WIDTHS[1])
    height = min(max(size.lines - spare, HEIGHTS[0]), HEIGHTS[1])
    return Paper(width, height, _colours(), _encodes(_SAMPLE))


def lines_left(taken: int) -> int:
    """Tell how many lines of the terminal are left, one at least."""
    return max(1, shutil.get_terminal_size().lines - taken)


def folded(lines: Sequence[str]) -> list[str]:
    """Fold lines between words, as wide as the terminal."""
    width = max(1, shutil.get_terminal_size().columns)
    return [part for line in lines for part in textwrap.wrap(line, width, drop_whitespace=True) or [""]]


def _colours() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _encodes(text: str) -> bool:
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def cells(text: str) -> int:
    """Tell how many columns a text takes."""
    from rich.cells import cell_len

    return cell_len(text)
