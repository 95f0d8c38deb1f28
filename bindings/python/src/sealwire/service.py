"""What services and gateways have in common, whatever serves: keys, demands, replay caches."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Union, runtime_checkable

from ._bytes import as_bytes, wanted
from ._clock import now
from ._error import call, misuse
from ._ffi import sealwire as ffi
from ._held import Held
from .keys import Kem, Signer
from .stores import SecretStore, raw_store

__all__ = ["LookUp", "MemoryReplayCache", "Mounted", "ReplayCache", "ServiceKeys", "Verify"]


class ServiceKeys(Held[ffi.ServiceKeys]):
    """The private keys of a service, which clients seal their requests to.

    Keys live for 7 days. Of several processes **exactly one** rotates (once a day) and saves; the others `ServiceKeys.reload` more often than
    every hour: two that rotate would give two keys one id. They go on to be changed here when a service has them. Source: SPEC §19.

        keys = ServiceKeys.load(store, "api") or ServiceKeys.generate()
        keys.save(store, "api")
    """

    __slots__ = ()

    def __init__(self) -> None:
        raise TypeError("service keys come of ServiceKeys.generate or load")

    @classmethod
    def generate(cls, *, kem: Kem = Kem.X_WING) -> ServiceKeys:
        """A first key, published at once."""
        return cls._of(call(ffi.ServiceKeys.generate, ffi.Kem[wanted(Kem, kem).name], now()))

    @classmethod
    def load(cls, store: SecretStore, name: str) -> ServiceKeys | None:
        """The keys that were saved, without those that have expired; `None` if nothing was, or all have. Raises `Malformed` if they are not keys."""
        raw = call(ffi.load_service_keys, raw_store(store), name, now())
        return None if raw is None else cls._of(raw)

    def save(self, store: SecretStore, name: str) -> None:
        """Keeps the keys for the next start and for other processes. Raises `Misuse` if newer ones are there."""
        call(self._raw.save, raw_store(store), name, now())

    def reload(self, store: SecretStore, name: str) -> None:
        """Takes what another process has saved. Raises `StoreFailed` if nothing was, or all of it has expired."""
        call(self._raw.reload, raw_store(store), name, now())

    def rotate(self) -> None:
        """Adds a key like the newest one, understood at once and published an hour later, and drops those that have expired.

        Call it once a day, in one process, and save. Raises `TooLarge` if there are 16 keys.
        """
        call(self._raw.rotate, now())

    @property
    def expires(self) -> int | None:
        """When the published keys run out, in Unix seconds; `None` if none is left."""
        return call(self._raw.expires, now())


LookUp = Callable[[str], Union[Signer, str, None, Awaitable[Union[Signer, str, None]]]]
"""Looks a signer up by the name that a signature gives its key (a JWK thumbprint, 43 characters). It proves nothing: give only signers whom you
trust. What it raises counts as nobody. It may be async; one that is not is called while the event loop waits."""


@dataclass(frozen=True)
class Verify:
    """Whose signatures count, and how strictly. The defaults are strict: 300 s of age and validity, 30 s between clocks, a nonce."""

    signers: Sequence[Signer | str] | LookUp
    """A list, or who is looked up."""
    require: Sequence[str] = ()
    """Fields that have to be there and covered."""
    max_age: int | None = None
    """Refuses what was signed longer ago, in seconds."""
    max_validity: int | None = None
    """Refuses what its signer wants to be valid for longer, in seconds."""
    clock_skew: int | None = None
    """How far clocks may be apart, in seconds."""
    allow_missing_nonce: bool = False
    """Takes signatures without a nonce. **They can be replayed** while they are valid."""


@dataclass(frozen=True)
class Mounted:
    """A gateway in front replaces ``public`` at the start of the path by ``local``: ``Mounted("/api", "")``, say."""

    public: str
    local: str


@runtime_checkable
class ReplayCache(Protocol):
    """Remembers requests for a while, so that each reaches the app once. Several processes of one service share one cache.

    An implementation inserts **atomically, if absent**, and never forgets early: when it is full or out of reach it raises, and the request is
    refused with 503. What it raises does not matter, except that `Expired` says "I cannot know: it is from before my time". On Redis one command
    does it (with ``maxmemory-policy noeviction``):

        async def insert(self, id, made, until, now):
            return await redis.set(b"replay:" + id, b"1", nx=True, exat=until + 1) is not None

    Source: SPEC §18.
    """

    def insert(self, id: bytes, made: int, until: int, now: int, /) -> bool | Awaitable[bool]:  # noqa: A002
        """Remembers ``id`` (32 bytes) until the second ``until`` has passed: true if it was not there. ``made`` is when the request says that it was
        made; all times are Unix seconds."""


class MemoryReplayCache(Held[ffi.MemoryReplayCache]):
    """A `ReplayCache` in the memory of one process, for ``capacity`` requests at a time (about 100 bytes each).

    It refuses requests that were made before it began, since it cannot know them. When it is full it refuses, rather than forget.
    """

    __slots__ = ()

    def __init__(self, capacity: int = 1_000_000) -> None:
        if capacity < 1:
            raise misuse("a capacity is above 0")
        super().__init__(call(ffi.MemoryReplayCache, capacity, now()))

    def insert(self, id: bytes, made: int, until: int, now: int, /) -> bool:  # noqa: A002
        """True if it was not there. Raises `StoreFailed` if the cache is full, `Expired` for what is from before its time."""
        return call(self._raw.insert, as_bytes(id), made, until, now)
