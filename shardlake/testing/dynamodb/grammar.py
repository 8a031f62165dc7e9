"""The grammar of expressions: text to a tree of tuples, parsed once.

path      ("a", "#n", 0)                       names as they stand, places in lists as integers
operand   ("path", path)  ("value", ":v")  ("size", path)
condition ("and", x, y)  ("or", x, y)  ("not", x)  ("=", a, b)  ("between", a, low, high)  ("in", a, (b, ...))
          ("attribute_exists", path)  ("begins_with", a, b)  ...
update    ("SET", path, source)  ("REMOVE", path)  ("ADD", path, ":v")  ("DELETE", path, ":v")
source    operand  ("+", x, y)  ("-", x, y)  ("if_not_exists", path, x)  ("list_append", x, y)
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from shardlake.testing.dynamodb.errors import ServiceError, not_valid
from shardlake.testing.dynamodb.reserved import RESERVED

Path = tuple[str | int, ...]
Node = tuple[Any, ...]

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<name>#\w+)|(?P<value>:\w+)|(?P<word>[A-Za-z_]\w*)|(?P<place>\d+)|(?P<sign><>|<=|>=|[=<>()\[\],.+\-]))",
    re.ASCII,
)
_COMPARED: Final = ("=", "<>", "<", "<=", ">", ">=")
_TESTS: Final = {
    "attribute_exists": 1,
    "attribute_not_exists": 1,
    "attribute_type": 2,
    "begins_with": 2,
    "contains": 2,
}
_OF_PATHS: Final = ("attribute_exists", "attribute_not_exists")
_CLAUSES: Final = ("SET", "REMOVE", "ADD", "DELETE")
_TEXT_BYTES_MAX: Final = 4_096
_DEPTH_MAX: Final = 100


class _Parser:
    """Reads one expression from left to right; `kind` and `text` are the token that comes next."""

    def __init__(self, what: str, text: str) -> None:
        self._what, self._depth = what, 0
        if not text:
            raise self.error("The expression can not be empty;")
        if len(text) > _TEXT_BYTES_MAX:
            raise self.error("Expression size has exceeded the maximum allowed size;")
        self._tokens = self._split(text)
        self.kind, self.text = next(self._tokens)

    def _split(self, text: str) -> Iterator[tuple[str, str]]:
        place, end = 0, len(text.rstrip())
        while place < end:
            found = _TOKEN.match(text, place)
            if found is None or found.lastgroup is None:
                raise self.error("Syntax error;")
            place = found.end()
            yield found.lastgroup, found[found.lastgroup]
        yield "end", ""

    def error(self, message: str) -> ServiceError:
        """Make the error for this expression."""
        return not_valid(f"Invalid {self._what}: {message}")

    def take(self) -> str:
        """Give the token and go on."""
        text = self.text
        self.kind, self.text = next(self._tokens, ("end", ""))
        return text

    def needs(self, sign: str) -> None:
        """Pass over a sign. Raises: ServiceError if it does not come here."""
        if self.text != sign or self.kind != "sign":
            raise self.error("Syntax error;")
        self.take()

    def takes(self, *words: str) -> str:
        """Pass over one of some keywords if it comes here, and give it, or nothing."""
        if self.kind == "word" and self.text.upper() in words:
            return self.take().upper()
        return ""

    def ends(self) -> None:
        """Raises: ServiceError if anything is left."""
        if self.kind != "end":
            raise self.error("Syntax error;")

    # ------------------------------------------------------------------------------------------ what all have

    def path(self) -> Path:
        """Read a path."""
        steps: list[str | int] = [self._step()]
        while self.kind == "sign" and self.text in {".", "["}:
            if self.take() == ".":
                steps.append(self._step())
                continue
            if self.kind != "place":
                raise self.error("Syntax error;")
            steps.append(int(self.take()))
            self.needs("]")
        return tuple(steps)

    def _step(self) -> str:
        if self.kind == "word" and self.text.upper() in RESERVED:
            raise self.error(f"Attribute name is a reserved keyword; reserved keyword: {self.text}")
        if self.kind not in {"word", "name"}:
            raise self.error("Syntax error;")
        return self.take()

    def value(self) -> str:
        """Read the name of a value."""
        if self.kind != "value":
            raise self.error("Syntax error;")
        return self.take()

    def operand(self) -> Node:
        """Read a value, a path or a size."""
        if self.kind == "value":
            return ("value", self.take())
        if self.kind == "word" and self.text == "size":
            self.take()
            self.needs("(")
            path = self.path()
            self.needs(")")
            return ("size", path)
        return ("path", self.path())

    # --------------------------------------------------------------------------------------------- conditions

    def condition(self) -> Node:
        """Read conditions joined by OR."""
        node = self._all_of()
        while self.takes("OR"):
            node = ("or", node, self._all_of())
        return node

    def _all_of(self) -> Node:
        node = self._negated()
        while self.takes("AND"):
            node = ("and", node, self._negated())
        return node

    def _negated(self) -> Node:
        if self.takes("NOT"):
            self._deeper()
            return ("not", self._negated())
        if self.kind == "sign" and self.text == "(":
            return self._nested()
        if self.kind == "word" and self.text in _TESTS:
            return self._test(self.take())
        return self._comparison(self.operand())

    def _nested(self) -> Node:
        self._deeper()
        self.take()
        node = self.condition()
        self.needs(")")
        if node[0] == "()":
            raise self.error("The expression has redundant parentheses;")
        return ("()", node)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise self.error("The expression contains more operators than are allowed;")

    def _test(self, name: str) -> Node:
        self.needs("(")
        found: list[Any] = [self.path() if name in _OF_PATHS else self.operand()]
        while len(found) < _TESTS[name]:
            self.needs(",")
            found.append(self.operand())
        if self.text == ",":
            raise self.error(f"Incorrect number of operands for operator or function; operator or function: {name}")
        self.needs(")")
        return (name, *found)

    def _comparison(self, left: Node) -> Node:
        if self.kind == "sign" and self.text in _COMPARED:
            return (self.take(), left, self.operand())
        if self.takes("BETWEEN"):
            low = self.operand()
            if not self.takes("AND"):
                raise self.error("Syntax error;")
            return ("between", left, low, self.operand())
        if self.takes("IN"):
            self.needs("(")
            among = [self.operand()]
            while self.text == "," and self.kind == "sign":
                self.take()
                among.append(self.operand())
            self.needs(")")
            return ("in", left, tuple(among))
        raise self.error("Syntax error;")

    # ------------------------------------------------------------------------------------------------ updates

    def update(self) -> tuple[Node, ...]:
        """Read the clauses of an update, each at most once."""
        actions: list[Node] = []
        seen: set[str] = set()
        while clause := self.takes(*_CLAUSES):
            if clause in seen:
                raise self.error(f'The "{clause}" section can only be used once in an update expression;')
            seen.add(clause)
            actions.append(self._action(clause))
            while self.kind == "sign" and self.text == ",":
                self.take()
                actions.append(self._action(clause))
        return tuple(actions)

    def _action(self, clause: str) -> Node:
        path = self.path()
        if clause == "REMOVE":
            return (clause, path)
        if clause != "SET":
            return (clause, path, self.value())
        self.needs("=")
        source = self._source_of()
        if self.kind == "sign" and self.text in {"+", "-"}:
            return (clause, path, (self.take(), source, self._source_of()))
        return (clause, path, source)

    def _source_of(self) -> Node:
        if self.kind == "word" and self.text in {"if_not_exists", "list_append"}:
            self._deeper()
            name = self.take()
            self.needs("(")
            first: Any = self.path() if name == "if_not_exists" else self._source_of()
            self.needs(",")
            second = self._source_of()
            self.needs(")")
            return (name, first, second)
        return self.operand()


def _bare(node: Any) -> Any:
    """Take the parentheses out of a tree."""
    if isinstance(node, tuple):
        return _bare(node[1]) if node and node[0] == "()" else tuple(map(_bare, node))
    return node


@lru_cache(maxsize=1024)
def parse_condition(what: str, text: str) -> Node:
    """Parse a condition; `what` is the field that it stands in. Raises: ServiceError (ValidationException)."""
    parser = _Parser(what, text)
    node: Node = _bare(parser.condition())
    parser.ends()
    return node


@lru_cache(maxsize=1024)
def parse_update(what: str, text: str) -> tuple[Node, ...]:
    """Parse an update. Raises: ServiceError (ValidationException)."""
    parser = _Parser(what, text)
    actions = parser.update()
    parser.ends()
    return actions


@lru_cache(maxsize=1024)
def parse_projection(what: str, text: str) -> tuple[Path, ...]:
    """Parse a list of paths. Raises: ServiceError (ValidationException)."""
    parser = _Parser(what, text)
    paths = [parser.path()]
    while parser.kind == "sign" and parser.text == ",":
        parser.take()
        paths.append(parser.path())
    parser.ends()
    return tuple(paths)


def placeholders(node: Any) -> Iterator[str]:
    """Give the `#names` and `:values` that a tree speaks of."""
    if isinstance(node, tuple):
        for part in node:
            yield from placeholders(part)
    elif isinstance(node, str) and node[0] in "#:":
        yield node


def paths_of(node: Any) -> Iterator[Path]:
    """Give the paths that a condition's tree speaks of."""
    if isinstance(node, tuple) and node:
        if node[0] in {"path", "size", *_OF_PATHS}:
            yield node[1]
        else:
            for part in node:
                yield from paths_of(part)
