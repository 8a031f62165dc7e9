"""Processes of a function end with the test that made them."""

from collections.abc import Iterator

import pytest

from tests.lambda_handler.function import OPEN


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()
