"""Where secrets are kept."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import keyring.backend
import keyring.errors
import pytest

from sealwire import (
    FileStore, Identity, Kem, Malformed, MemoryStore, Misuse, NotRecipient, Passphrase, SealwireError, SecretStore, StoreFailed, SymmetricKey,
)  # fmt: skip
from sealwire.keyring import KeyringStore
from sealwire.service import ServiceKeys


class Chain(keyring.backend.KeyringBackend):
    """A keychain in memory."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.is_locked = False

    def get_password(self, service: str, username: str) -> str | None:
        self.check()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.check()
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self.check()
        del self.kept[service, username]

    def check(self) -> None:
        if self.is_locked:
            raise keyring.errors.KeyringLocked("locked")


class Table:
    """A store of the app's own."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}

    def save(self, name: str, secret: bytes) -> None:
        self.rows[name] = secret

    def load(self, name: str) -> bytes | None:
        return self.rows.get(name)

    def delete(self, name: str) -> None:
        self.rows.pop(name, None)


@pytest.fixture(params=["memory", "passphrase", "key", "keyring", "own"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SecretStore:
    kinds: dict[str, Any] = {
        "memory": MemoryStore,
        "passphrase": lambda: FileStore(tmp_path, passphrase=Passphrase("seven words", memory=8192, passes=1, lanes=1)),
        "key": lambda: FileStore(tmp_path, key=SymmetricKey.generate()),
        "keyring": lambda: KeyringStore("test", backend=Chain()),
        "own": Table,
    }
    made: SecretStore = kinds[request.param]()
    return made


def test_stores(store: SecretStore) -> None:
    assert isinstance(store, SecretStore)
    assert store.load("alice") is None and Identity.load(store, "alice") is None
    alice = Identity.generate(kem=Kem.X25519)
    alice.save(store, "alice")
    loaded = Identity.load(store, "alice")
    assert loaded is not None and loaded.recipient == alice.recipient
    store.save("alice", b"\0\xff secret")
    assert store.load("alice") == b"\0\xff secret"
    with pytest.raises(SealwireError):
        Identity.load(store, "alice")
    store.delete("alice")
    store.delete("alice")
    assert store.load("alice") is None


def test_service_keys(store: SecretStore) -> None:
    assert ServiceKeys.load(store, "keys") is None
    keys = ServiceKeys.generate(kem=Kem.X25519)
    keys.save(store, "keys")
    other = ServiceKeys.load(store, "keys")
    assert other is not None and other.expires == keys.expires is not None
    keys.rotate()
    keys.save(store, "keys")
    other.reload(store, "keys")
    with pytest.raises(StoreFailed):
        other.reload(store, "nothing")


def test_files_are_sealed(tmp_path: Path) -> None:
    key = SymmetricKey.generate()
    store = FileStore(str(tmp_path), key=key)
    store.save("token", b"very secret")
    (file,) = tmp_path.iterdir()
    assert b"secret" not in file.read_bytes() and file.stat().st_mode & 0o077 == 0
    with pytest.raises(NotRecipient):
        FileStore(tmp_path, key=SymmetricKey.generate()).load("token")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(SealwireError):
        FileStore(tmp_path, key=key).load("token")
    for name in ("", "../up", ".hidden", "x" * 65, "A"):
        with pytest.raises(Misuse):
            store.save(name, b"x")
    both: list[dict[str, Any]] = [{}, {"key": key, "passphrase": Passphrase("x")}]
    for options in both:
        with pytest.raises(Misuse):
            FileStore(tmp_path, **options)


def test_a_keychain_that_fails() -> None:
    chain = Chain()
    store = KeyringStore("test", backend=chain)
    chain.kept["test", "bad"] = "not ours!"
    with pytest.raises(Malformed):
        store.load("bad")
    chain.is_locked = True
    for use in (lambda: store.load("x"), lambda: store.save("x", b"x"), lambda: store.delete("x")):
        with pytest.raises(StoreFailed) as raised:
            use()
        assert isinstance(raised.value.__cause__, keyring.errors.KeyringLocked)
    # Through the library, too.
    with pytest.raises(StoreFailed) as raised:
        Identity.load(store, "x")
    assert isinstance(raised.value.__cause__, StoreFailed)


def test_what_a_store_raises_is_the_cause() -> None:
    class Down(Table):
        def load(self, name: str) -> bytes | None:
            raise ConnectionError("down")

        def save(self, name: str, secret: bytes) -> None:
            raise Misuse("not here")

    with pytest.raises(StoreFailed) as raised:
        Identity.load(Down(), "x")
    assert isinstance(raised.value.__cause__, ConnectionError)
    with pytest.raises(Misuse):
        Identity.generate(kem=Kem.X25519).save(Down(), "x")
    # What is no `Exception` is itself, and nothing counts as saved.
    for interrupt in (KeyboardInterrupt(), asyncio.CancelledError(), SystemExit(1)):

        class Interrupted(Table):
            def save(self, name: str, secret: bytes) -> None:
                raise interrupt

        with pytest.raises(type(interrupt)) as interrupted:
            Identity.generate(kem=Kem.X25519).save(Interrupted(), "x")
        assert interrupted.value is interrupt
    with pytest.raises(TypeError):
        Identity.load({}, "x")  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["x", bytes(32), Identity.generate(kem=Kem.X25519)])
def test_a_key_that_is_none(tmp_path: Path, key: Any) -> None:
    for options in ({"key": key}, {"passphrase": key}):
        with pytest.raises(TypeError, match="is wanted, not"):
            FileStore(tmp_path, **options)
