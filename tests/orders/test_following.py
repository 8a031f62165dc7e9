"""Orders that are sold, corrected, taken back and expire: at every certificate the views are a fold of the log."""

import random
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from shardlake.testing.dynamodb import INTERNAL, LOST_AFTER, THROTTLES, Behaviour
from shardlake.testing.orders import Sale, drawn_sales, read_sales
from tests.dynamodb.changing import LIMITS
from tests.orders.following import Following

FAULTS = (LOST_AFTER, INTERNAL, *THROTTLES)
READS = ("GetRecords", "DescribeStream", "GetShardIterator")


def made(folder: Path, seed: int) -> Following:
    behaviour = Behaviour().changed(roll_s=60.0, empty_pages=0.2, end_apart=0.5, children_late_s=3.0, ttl_sweep_s=20.0)
    limits = msgspec.structs.replace(LIMITS, worker_expiry_s=12.0, heartbeat_s=3.0, look_s=1.0)
    found = Following(folder, seed, behaviour, limits=limits)
    found.shop.life_s, found.shop.corrected, found.shop.expiring = 40, 0.3, 0.3
    found.spawn()
    found.spawn()
    return found


@pytest.mark.parametrize("seed", range(3))
def test_every_answer_is_a_fold_of_the_log_while_workers_die_and_batch_runs(tmp_path: Path, seed: int) -> None:
    following, rng = made(tmp_path, seed), random.Random(seed)
    sales = iter(drawn_sales(rng, 250))
    answers: set[int] = set()
    for _ in range(20):
        following.sell(sale for _, sale in zip(range(rng.randrange(20)), sales, strict=False))
        if rng.random() < 0.3:
            following.dynamo.inject(rng.choice(FAULTS), rng.choice(READS), rng.choice([1, 2]))
        if rng.random() < 0.15:
            rng.choice((following.kill, following.stop))(rng.choice(following.members))
            following.spawn()
        if rng.random() < 0.15:
            following.batch()
        following.run(rng.choice([1.0, 5.0, 15.0]), 1.0)
        answers.add(following.check_answer())
    following.dynamo.clear_faults()
    following.follow()
    following.check_answer()
    kinds = {(c.old is not None, c.new is not None, c.expired) for c in following.told_of}
    assert kinds == {(False, True, False), (True, True, False), (True, False, False), (True, False, True)}
    assert len(answers) > 8
    assert not following.gaps()


def some_of(sales: list[Sale]) -> list[Sale]:
    """Every sixth row, and all rows of what somebody gave back."""
    returned = {(sale.customer, sale.stock_code) for sale in sales if sale.cancels and sale.customer}
    return [s for at, s in enumerate(sales) if at % 6 == 0 or (s.customer, s.stock_code) in returned]


def test_real_orders_are_followed(tmp_path: Path, real_data: Path | None) -> None:
    if real_data is None or not (real_data / "orders").is_dir():
        pytest.skip("SHARDLAKE_TEST_DATA has no folder orders")
    following = made(tmp_path, 1)
    following.shop.corrected = 0.05
    sales = some_of(list(read_sales(real_data / "orders")))
    for at in range(0, len(sales), 400):
        following.sell(sales[at : at + 400])
        following.run(10.0, 1.0)
        if at == 800:
            following.batch()
            following.kill(following.members[0])
        following.check_answer()
    following.follow()
    assert following.check_answer() == len(following.told_of)
    kinds = Counter((c.old is not None, c.new is not None) for c in following.told_of if not c.expired)
    assert kinds[False, True] > 1_800
    assert kinds[True, False] >= 5
