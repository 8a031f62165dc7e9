"""What the composition root makes of settings that name S3."""

from pathlib import Path

import pytest

from shardlake.adapters import storage_file
from shardlake.adapters.local_objects import LocalObjects
from shardlake.app import compose
from shardlake.app.demo.generator import write_logs
from shardlake.app.settings import Config, SourceSettings, StorageSettings
from shardlake.app.streaming import file_settings
from shardlake.core.errors import ConfigError
from shardlake.testing.runs import Program
from streams.sources.s3 import Keys, S3Files
from tests.s3.standin import StandIn


def test_a_source_is_in_s3_if_its_path_says_so(s3: StandIn) -> None:
    assert compose.source_store(Config(source=SourceSettings(path="/var/logs"))) is None
    source = SourceSettings(path="s3://my-logs/cf/*.gz", endpoint=s3.settings.endpoint, region="us-east-1")
    found = compose.source_store(Config(source=source))
    assert isinstance(found, S3Files)
    assert (found.keys, found.queue, found.settles) == (Keys.of(source.path), None, False)
    with pytest.raises(ConfigError, match="write s3://bucket"):
        compose.source_store(Config(source=SourceSettings(path="s3://x")))


def in_s3(root: Path, s3: StandIn, url: str) -> Config:
    return Config(root=str(root), storage=StorageSettings(url=url, endpoint=s3.settings.endpoint, region="us-east-1"))


def test_objects_and_tables_are_below_the_root_or_in_s3(s3: StandIn, tmp_path: Path) -> None:
    place = s3.new_place("lake")
    assert isinstance(compose.objects(Config(root=str(tmp_path))), LocalObjects)
    config = in_s3(tmp_path, s3, place.url)
    refs = compose.objects(config).put("f", {"a": b"1"})
    assert Path(compose.objects(config).path(refs["a"])).is_relative_to(tmp_path / "cache")
    tables = compose.tables(config)
    created = tables.create("view", (), None)
    assert compose.table_reader(config).load("view") == created
    tables.close()
    shown = s3.client().list_objects_v2(Bucket=place.bucket)["Contents"]
    assert sorted({"/".join(o["Key"].split("/")[:3]) for o in shown}) == ["lake/objects/f", "lake/tables/view"]


def test_a_root_whose_objects_are_elsewhere_is_refused(s3: StandIn, tmp_path: Path) -> None:
    config = in_s3(tmp_path, s3, s3.new_place("lake").url)
    storage_file.remember(tmp_path, compose.storage(config))
    compose.journal(config).close()
    assert compose.storage(config).url == config.storage.url
    assert compose.storage(Config(root=str(tmp_path))) == compose.storage(config), "the root knows"
    with pytest.raises(ConfigError, match=r"storage\.url is .* set it back"):
        compose.objects(in_s3(tmp_path, s3, "s3://other-bucket/lake"))


def test_what_is_stored_is_not_read_as_logs(s3: StandIn, tmp_path: Path) -> None:
    for path, url in (("s3://logs-1/cf", "s3://logs-1/cf/lake"), ("s3://logs-1/cf/a*.gz", "s3://logs-1/cf")):
        config = Config(root=str(tmp_path), source=SourceSettings(path=path), storage=StorageSettings(url=url))
        with pytest.raises(ConfigError, match="lie in one another"):
            file_settings(config)
    apart = Config(source=SourceSettings(path="s3://logs-1/cf"), storage=StorageSettings(url="s3://logs-1/lake"))
    assert file_settings(apart).path == "s3://logs-1/cf"


@pytest.mark.slow
def test_the_program_reads_from_and_stores_in_s3(s3: StandIn, tmp_path: Path) -> None:
    made, source, lake = tmp_path / "made", s3.new_place("cf"), s3.new_place("lake")
    made.mkdir()
    for file in write_logs(made, 3000, 5):
        key = source.key(file.name)
        s3.client().put_object(Bucket=source.bucket, Key=key, Body=(made / file.name).read_bytes())
    endpoint = s3.settings.endpoint
    settings = {"source.endpoint": endpoint, "storage.endpoint": endpoint, "storage.url": lake.url}
    settings |= {"source.region": "us-east-1", "storage.region": "us-east-1", "source.path": source.url}
    remote = Program(tmp_path / "remote", Path(source.url), settings)
    local = Program(tmp_path / "local", made)
    for program in (remote, local):
        program.run("stream", "run", "--once").expect(0)
    remote.run("batch", "run").expect(0)
    assert not (remote.root / "objects").exists()
    for view in ("bots", "bandwidth", "viewers"):
        found, right = remote.ask(view), local.ask(view)
        assert sorted(found.rows, key=repr) == sorted(right.rows, key=repr)
        assert found.certificate.events == right.certificate.events > 3000
    assert {v.batch_rows > 0 for v in remote.ask("bots").certificate.views} == {True}
