"""Objects in S3 when requests get lost, are slow, or are refused."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from shardlake.adapters.clock import SystemClock
from shardlake.adapters.s3 import bucket, client
from shardlake.adapters.s3.bucket import Bucket
from shardlake.adapters.s3.cache import Cache, CacheSettings
from shardlake.adapters.s3.objects import S3Objects
from shardlake.adapters.s3.place import Place
from shardlake.core.errors import ConfigError, Conflict, Corrupt, Missing, ShardlakeError, Terminal, Transient
from tests.s3.standin import Kind, StandIn


@dataclass
class Desk:
    """A store in S3, and the server that it talks to."""

    server: StandIn
    folder: Path
    place: Place
    stores: list[S3Objects] = field(default_factory=list)

    def store(self, settings: Any = None) -> S3Objects:
        cache = Cache(CacheSettings(self.folder / f"{len(self.stores)}"), SystemClock())
        self.stores.append(S3Objects(client.client(settings or self.server.settings), self.place, cache))
        return self.stores[-1]


@pytest.fixture
def desk(s3: StandIn, tmp_path: Path) -> Iterator[Desk]:
    made = Desk(s3, tmp_path, s3.new_place("objects"))
    yield made
    for store in made.stores:
        store.close()


@pytest.mark.parametrize("kind", ["drop", "lose", "error", "busy", "stall"])
def test_an_upload_that_fails_in_passing_is_made_once(desk: Desk, kind: Kind) -> None:
    store = desk.store(desk.server.hasty)
    desk.server.fault(kind, "PUT", "/a")
    refs = store.put("f", {"a": b"1", "b": b"2"})
    assert desk.server.count("PUT", "/a") == 2
    assert {name: desk.store().get(ref) for name, ref in refs.items()} == {"a": b"1", "b": b"2"}


@pytest.mark.parametrize("kind", ["drop", "busy"])
def test_a_second_try_that_meets_other_content_is_a_conflict(desk: Desk, kind: Kind) -> None:
    store = desk.store()
    (ref,) = store.put("f", {"a": b"theirs"}).values()
    desk.server.fault(kind, "PUT")
    with pytest.raises(Conflict, match="f/a exists"):
        store.put("f", {"a": b"mine"})
    assert store.get(ref) == b"theirs"


def test_what_was_put_beside_a_taken_name_is_withdrawn(desk: Desk) -> None:
    store = desk.store()
    store.put("f", {"b": b"1"})
    with pytest.raises(Conflict):
        store.put("f", {"a": b"2", "b": b"2", "c": b"2"})
    assert store.list("") == ["f/b"]


@pytest.mark.parametrize("kind", ["drop", "error", "stall", "slow_down"])
def test_a_store_out_of_reach_is_transient(desk: Desk, kind: Kind) -> None:
    store = desk.store(replace(desk.server.hasty, attempts_max=2))
    (ref,) = store.put("f", {"a": b"1"}).values()
    calls: dict[str, tuple[str, Callable[[], object]]] = {
        "PUT": ("PUT", lambda: store.put("f", {"b": b"1"})),
        "get": ("GET", lambda: store.get(ref)),
        "list": ("GET", lambda: store.list("")),
        "delete": ("POST", lambda: store.delete([ref.name])),
    }
    chosen = calls if kind == "error" else {"PUT": calls["PUT"]}
    for method, call in chosen.values():
        desk.server.faults.clear()
        desk.server.fault(kind, method, times=2)
        with pytest.raises(Transient, match="cannot"):
            call()


@pytest.mark.parametrize("kind", ["cut", "drop", "error"])
def test_a_download_that_breaks_is_repeated(desk: Desk, kind: Kind) -> None:
    data = bytes(range(256)) * 10_000
    (ref,) = desk.store().put("f", {"a": data}).values()
    desk.server.fault(kind, "GET")
    assert desk.store().get(ref) == data
    desk.server.fault(kind, "GET")
    assert Path(desk.store().path(ref)).read_bytes() == data
    desk.server.faults.clear()
    desk.server.fault("cut", "GET", times=3)
    with pytest.raises(Transient, match="f/a"):
        desk.store().path(ref)


def test_a_body_that_stalls_is_given_up(desk: Desk) -> None:
    (ref,) = desk.store().put("f", {"a": b"1" * 100_000}).values()
    desk.server.fault("pause", "GET")
    assert desk.store(desk.server.hasty).get(ref) == b"1" * 100_000
    assert desk.server.count("GET") == 2


@pytest.mark.parametrize(
    ("kind", "advice"),
    [("denied", "allow it in the role's policy"), ("archived", "restore the object"), ("old", "clock")],
)
def test_a_refusal_says_what_to_do(desk: Desk, kind: Kind, advice: str) -> None:
    (ref,) = desk.store().put("f", {"a": b"1"}).values()
    desk.server.fault(kind, "GET")
    with pytest.raises(Terminal, match=advice):
        desk.store().get(ref)


def test_a_bucket_that_is_not_there_is_a_matter_of_configuration(desk: Desk) -> None:
    desk.place = Place.of("s3://nobodys-bucket/x")
    with pytest.raises(ConfigError, match=r"NoSuchBucket.*create the bucket"):
        desk.store().put("f", {"a": b"1"})
    with pytest.raises(ConfigError, match="NoSuchBucket"):
        desk.store().list("")


def test_without_credentials_nothing_is_tried(s3: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place = s3.new_place()  # with credentials, which the client of the other tests keeps
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    settings = replace(s3.settings, region="eu-west-3")
    store = S3Objects(client.client(settings), place, Cache(CacheSettings(tmp_path), SystemClock()))
    with pytest.raises(ConfigError, match=r"credentials"):
        store.list("")
    assert s3.requests == []
    store.close()


def test_a_wrong_endpoint_is_a_matter_of_configuration() -> None:
    with pytest.raises(ConfigError, match="endpoint"):
        client.client(client.S3Settings(endpoint="not an address", region="us-east-1"))


def test_content_travels_with_its_hash(desk: Desk) -> None:
    desk.store().put("f", {"a": b"abc"})
    [sent] = [request.headers for request in desk.server.requests if request.method == "PUT"]
    assert sent["x-amz-checksum-sha256"] == "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
    assert sent["if-none-match"] == "*"


def test_a_copy_serves_on_when_s3_is_out_of_reach(desk: Desk) -> None:
    store = desk.store()
    (ref,) = store.put("f", {"a": b"1"}).values()
    path = store.path(ref)
    desk.server.fault("denied", "GET", times=9)
    assert (store.get(ref), store.path(ref)) == (b"1", path)
    assert desk.server.count("GET") == 1


def test_many_objects_are_fetched_at_once(desk: Desk) -> None:
    refs = list(desk.store().put("f", {f"{n}": b"%d" % n for n in range(12)}).values())
    store = desk.store()
    desk.server.fault("stall", "GET", times=8)
    store.fetch(refs)
    desk.server.forget()
    assert [store.get(ref) for ref in refs] == [b"%d" % n for n in range(12)]
    assert desk.server.requests == []
    store.delete([refs[3].name])
    with pytest.raises(Missing, match="f/3"):
        desk.store().fetch(refs)


def test_an_encryption_that_breaks_amidst_a_body_is_transient() -> None:
    from urllib3.exceptions import SSLError

    with pytest.raises(Transient, match="bad record"), client.errors("read"):
        raise SSLError("bad record")


def test_other_bytes_of_one_length_are_corrupt_and_not_kept(desk: Desk) -> None:
    store = desk.store()
    (ref,) = store.put("f", {"a": b"1"}).values()
    desk.server.client().put_object(Bucket=desk.place.bucket, Key=desk.place.key(ref.name), Body=b"2")
    for _ in range(2):
        with pytest.raises(Corrupt, match="f/a"):
            store.path(ref)


def test_listings_and_deletions_are_cut_into_pages(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "4")
    monkeypatch.setattr(bucket, "DELETED_AT_ONCE", 3)
    store = desk.store()
    store.put("f", {f"a b+{n:02d}%": b"1" for n in range(10)})
    desk.server.forget()
    names = store.list("")
    assert names == [f"f/a b+{n:02d}%" for n in range(10)]
    assert desk.server.count("GET", "list-type=2") == 3
    store.delete(names)
    assert desk.server.count("POST", "delete") == 4
    assert store.list("") == []


@pytest.mark.parametrize(("code", "kind"), [("InternalError", Transient), ("AccessDenied", ConfigError)])
def test_a_deletion_that_is_refused_for_one_object_is_told(code: str, kind: type[ShardlakeError]) -> None:
    class Refusing:
        def delete_objects(self, **_: object) -> dict[str, Any]:
            return {"Errors": [{"Key": "a", "Code": code, "Message": "no"}]}

    with pytest.raises(kind, match=f"{code} no"):
        Bucket(Refusing(), "b").delete(["a"])


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("s3://my-logs", Place("my-logs")),
        ("s3://a.b.c/x/y", Place("a.b.c", "x/y/")),
        ("s3://abc/x/", Place("abc", "x/")),
    ],
)
def test_a_place_is_a_bucket_and_a_prefix(url: str, place: Place) -> None:
    assert Place.of(url) == place
    assert place.url == url.rstrip("/")
    assert place.holds(place.below("z"))
    assert not place.below("z").holds(place)


@pytest.mark.parametrize("url", ["", "s3:", "s3://", "s3:///x", "s3://UP/x", "s3://abc//x", "/local", "s3://abc/x//y"])
def test_what_is_no_place_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="write s3://bucket"):
        Place.of(url)
