"""A local stand-in for S3 and SQS, and a bucket of logs in it, for every test here."""

from typing import TYPE_CHECKING

import pytest

from tests.s3.standin import StandIn, s3

if TYPE_CHECKING:
    from tests.s3.logs import Logs

__all__ = ["s3"]


@pytest.fixture
def logs(s3: StandIn) -> "Logs":
    from tests.s3.logs import Logs

    return Logs(s3, s3.new_place())
