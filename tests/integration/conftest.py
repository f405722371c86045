"""What the tests of sources share: a web server that does as a test says, and a client whose waits take no time."""

from collections.abc import Iterator

import pytest

from overnight.data.web import Web
from overnight.testing.clock import FakeClock
from web_server import WebServer


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer() as web:
        yield web


@pytest.fixture
def web() -> Web:
    clock = FakeClock()
    return Web(clock, private_addresses=True, pause=clock.advance)
