"""The rules of types, and what a call says about itself."""

import pytest

from shardlake.core.algebra import AGGREGATES, Call, NotMergeable, Term
from shardlake.core.algebra.types import NoCommonType, common_type, comparable, product_type, sum_type

TYPES = ("INTEGER", "BIGINT", "DECIMAL(9,2)", "DECIMAL(20,4)", "DOUBLE")


@pytest.mark.parametrize("left", TYPES)
@pytest.mark.parametrize("right", TYPES)
def test_types_meet_in_either_order(left: str, right: str) -> None:
    assert common_type(left, right) == common_type(right, left)
    assert sum_type(left, right) == sum_type(right, left)
    assert product_type(left, right) == product_type(right, left)


def test_text_and_numbers_do_not_meet() -> None:
    assert not comparable("VARCHAR", "BIGINT")
    with pytest.raises(NoCommonType):
        common_type("VARCHAR", "BIGINT")


def test_a_product_keeps_all_its_places_or_is_refused() -> None:
    assert product_type("DECIMAL(20,15)", "DECIMAL(20,15)") == "DECIMAL(38,30)"
    with pytest.raises(NoCommonType, match="decimal places"):
        product_type("DECIMAL(38,20)", "DECIMAL(38,20)")


@pytest.mark.parametrize("name", sorted(set(AGGREGATES) - {"count"}))
def test_every_aggregate_says_what_it_takes(name: str) -> None:
    with pytest.raises(NotMergeable, match="write "):
        AGGREGATES[name].build(Call(name, ()), weighted=False)


@pytest.mark.parametrize("name", sorted(AGGREGATES))
def test_every_aggregate_takes_one_of_these_arguments(name: str) -> None:
    arguments = [
        (Term("x", "BIGINT"),),
        (Term("x", "BOOLEAN"),),
        (Term("x", "BIGINT"), Term("0.5", "DECIMAL(2,1)", "0.5")),
    ]
    built = []
    for args in arguments:
        try:
            built.append(AGGREGATES[name].build(Call(name, args, "(ok)"), weighted=False))
        except NotMergeable:
            continue
    assert built
    assert all("FILTER (WHERE (ok)" in state.partial for made in built for state in made.states)
