"""What all tests share: an environment of their own, and the folder of real data if there is one."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A shared machine makes single examples slow now and then; a failure prints how to run it again.
settings.register_profile("shardlake", deadline=None, print_blob=True)
settings.load_profile("shardlake")

_KEPT = "SHARDLAKE_TEST_DATA"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the settings of whoever runs the tests, and make sure that no test can reach a real account."""
    for name in list(os.environ):
        if name.startswith(("SHARDLAKE_", "AWS_")) and name != _KEPT:
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)


@pytest.fixture(scope="session")
def root() -> Path:
    """Give the folder of the source tree."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path | None:
    """Give the folder of real logs, or None: then a test generates lines with the same traps."""
    folder = os.environ.get(_KEPT)
    return Path(folder) if folder else None
