"""Orders that are sold, corrected, taken back and expire: at every certificate the views are a fold of the log."""

import random
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from shardlake.testing.dynamodb import INTERNAL, LOST_AFTER, THROTTLES, Behaviour
from shardlake.testing.orders import drawn_sales, read_sales
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


def test_real_orders_are_followed(tmp_path: Path, real_data: Path | None) -> None:
    if real_data is None or not (real_data / "orders").is_dir():
        pytest.skip("SHARDLAKE_TEST_DATA has no folder orders")
    following, rng = made(tmp_path, 1), random.Random(1)
    shop, told = following.shop, following.told_of
    shop.corrected, shop.expiring, shop.life_s = 0.02, 0.05, 400  # no line expires before all rows are sold
    sales, late = list(read_sales(real_data / "orders")), 0
    for at in range(0, len(sales), 600):
        following.sell(sales[at : at + 600])
        if at % 4_200 == 1_800:
            following.batch()
            following.kill(following.members[0])
            following.spawn()
        following.run(rng.choice([1.0, 3.0, 15.0]), 1.0)
        late += following.check_answer() < len(told)
    changes = Counter("put" if c.old is None else "remove" if c.new is None else "change" for c in told)
    taken = [c for c in told if c.old is not None and c.new is not None and c.old["quantity"] != c.new["quantity"]]
    assert (changes["put"], changes["remove"], len(taken), shop.unmatched) == (11_164, 5, 7, 121)
    assert late >= 3  # certificates that do not hold all that had happened
    for _ in range(4):
        following.run(100.0, 5.0)
        following.check_answer()
    following.follow()
    assert following.check_answer() == len(told)
    assert sum(c.expired for c in told) > 100
