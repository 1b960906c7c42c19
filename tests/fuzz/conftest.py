"""What hypothesis keeps on disk lies in a temporary folder; with -s it is said how many inputs were tried."""

import shutil
import tempfile
from collections.abc import Iterator

import pytest
from drawn_inputs import ends
from hypothesis import configuration


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config) -> None:
    """Before hypothesis looks for constants in the code that it tests, and keeps them."""
    home = tempfile.mkdtemp(prefix="hypothesis-")
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    configuration.set_hypothesis_home_dir(home)


@pytest.fixture(scope="session", autouse=True)
def _session() -> Iterator[None]:
    yield
    print(f"\ninputs drawn: {sum(ends.values())}, of them {ends['read']} read and {ends['refused']} refused")
