from __future__ import annotations

from collections.abc import Iterator

import pytest

from loopback import Service
from sealwire import Identity, Kem


@pytest.fixture(scope="session")
def device() -> Identity:
    """The device that services know."""
    return Identity.generate(kem=Kem.X25519)


@pytest.fixture(scope="session")
def stranger() -> Identity:
    return Identity.generate(kem=Kem.X25519)


@pytest.fixture
def service(device: Identity) -> Iterator[Service]:
    with Service(device).running() as service:
        yield service
