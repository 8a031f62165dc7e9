"""The aggregates of a view -> its partial columns, named once and shared where they are the same."""

from dataclasses import dataclass, field, replace

from shardlake.core.algebra.state import BOUNDED, EXACT, SKETCH, Aggregation, State, Term
from shardlake.core.sql import identifier


@dataclass(frozen=True, slots=True)
class NamedState:
    """A partial column with its name, and the names of its aggregate's other columns by suffix."""

    name: str
    state: State
    names: dict[str, str]

    def text(self, template: str) -> str:
        """Fill a template of the algebra with column names."""
        return filled(template, self.names)


@dataclass(slots=True)
class Result:
    """What one output is made of, collected while its expression is written."""

    output: str
    exactness: str = EXACT
    bounds: list[str] = field(default_factory=list)


@dataclass(slots=True)
class StateTable:
    """All partial columns of a view, in the order in which its outputs need them, and the steps to its results.

    `weighted` says that its rows may be taken back.
    """

    taken: set[str]
    weighted: bool = False
    states: list[NamedState] = field(default_factory=list)
    row_steps: list[tuple[str, str]] = field(default_factory=list)
    steps: list[tuple[str, str]] = field(default_factory=list)

    def add(self, made: Aggregation, result: Result) -> Term:
        """Give an aggregate its columns, and write its final expression over them."""
        local = self._stepped(self.row_steps, made.row_steps, result.output, {})
        states = [replace(s, partial=filled(s.partial, local)) for s in made.states]
        names = {s.suffix: self._named(s, result.output) for s in states}
        for state in states:
            if not any(n.name == names[state.suffix] for n in self.states):
                self.states.append(NamedState(names[state.suffix], state, names))
        names = self._stepped(self.steps, made.steps, result.output, names)
        result.exactness = max(result.exactness, made.exactness, key=(EXACT, BOUNDED, SKETCH).index)
        if made.bound:
            result.bounds.append(filled(made.bound, names))
        text = filled(made.finalize, names)
        return Term(f"({text})" if " " in text else text, made.type)

    def _named(self, state: State, output: str) -> str:
        known = next((k.name for k in self.states if k.state == state), None)
        return known if known is not None else self._free(f"{output}__{state.suffix}")

    def _stepped(
        self, kept: list[tuple[str, str]], added: tuple[tuple[str, str], ...], output: str, names: dict[str, str]
    ) -> dict[str, str]:
        names = dict(names)
        for suffix, template in added:
            sql = filled(template, names)
            known = next((name for name, text in kept if text == sql), None)
            names[suffix] = known if known is not None else self._free(f"{output}__{suffix}")
            if known is None:
                kept.append((names[suffix], sql))
        return names

    def _free(self, wanted: str) -> str:
        name, number = wanted, 1
        while name.lower() in self.taken:
            number += 1
            name = f"{wanted}{number}"
        self.taken.add(name.lower())
        return name


def filled(template: str, names: dict[str, str]) -> str:
    """Replace every `{suffix}` of a template by the quoted name of its column."""
    for suffix, name in names.items():
        template = template.replace(f"{{{suffix}}}", identifier(name))
    return template
