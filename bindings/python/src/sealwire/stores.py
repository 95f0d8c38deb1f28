"""Where secrets are kept."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ._bytes import BytesLike, as_bytes, wanted
from ._error import call, calling_back, misuse
from ._ffi import sealwire as ffi
from ._held import Held

if TYPE_CHECKING:
    from .keys import Passphrase, SymmetricKey

__all__ = ["FileStore", "MemoryStore", "SecretStore"]


@runtime_checkable
class SecretStore(Protocol):
    """A keychain, a vault, a table: whatever keeps secrets under names.

    Names are 1 to 64 of ``a-z 0-9 . _ -`` and do not begin with a dot. What an implementation raises becomes `StoreFailed`, with that as
    its ``__cause__``; a `SealwireError` keeps its code. It is called from whatever thread the call is made on.
    """

    def save(self, name: str, secret: bytes, /) -> None:
        """Keeps ``secret`` under ``name``. It replaces what was there **atomically**."""

    def load(self, name: str, /) -> bytes | None:
        """What is kept under ``name``; `None` if nothing is."""

    def delete(self, name: str, /) -> None:
        """Forgets ``name``; nothing happens if there is nothing."""


class _Inside(Held[ffi.SecretStore]):
    """A store of the library."""

    __slots__ = ()

    def save(self, name: str, secret: BytesLike, /) -> None:
        """Keeps ``secret`` under ``name``, atomically."""
        call(self._raw.save, name, as_bytes(secret))

    def load(self, name: str, /) -> bytes | None:
        """What is kept under ``name``; `None` if nothing is."""
        return call(self._raw.load, name)

    def delete(self, name: str, /) -> None:
        """Forgets ``name``."""
        call(self._raw.delete, name)


class MemoryStore(_Inside):
    """A `SecretStore` for tests, and for what may be forgotten with the process."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(call(ffi.memory_store))


class FileStore(_Inside):
    """A `SecretStore` in a folder, whose files are sealed: with a passphrase (Argon2id), or with a key that is kept elsewhere.

    Files have mode 0600 and are replaced atomically. Errors: `StoreFailed` for what the file system says, `NotRecipient` for another
    passphrase or key, `Rejected` for a file that was altered or belongs to another name.
    """

    __slots__ = ()

    def __init__(
        self, folder: str | os.PathLike[str], *, passphrase: Passphrase | None = None, key: SymmetricKey | None = None
    ) -> None:
        # Keys are kept in stores, too.
        from .keys import Passphrase, SymmetricKey  # noqa: PLC0415

        path = os.fspath(folder)
        if passphrase is not None and key is None:
            super().__init__(call(ffi.file_store_with_passphrase, path, wanted(Passphrase, passphrase)._raw))
        elif key is not None and passphrase is None:
            super().__init__(call(ffi.file_store_with_key, path, wanted(SymmetricKey, key)._raw))
        else:
            raise misuse("a file store has a passphrase or a key")


class _Outside(ffi.SecretStore):
    """A store of the app's, to the library."""

    def __init__(self, store: SecretStore) -> None:
        self._store = store

    def save(self, name: str, secret: bytes) -> None:
        calling_back(self._store.save, name, secret)

    def load(self, name: str) -> bytes | None:
        return calling_back(lambda: _loaded(self._store.load(name)))

    def delete(self, name: str) -> None:
        calling_back(self._store.delete, name)


def _loaded(secret: BytesLike | None) -> bytes | None:
    return None if secret is None else as_bytes(secret)


def raw_store(store: SecretStore) -> ffi.SecretStore:
    """The store for the library."""
    if isinstance(store, _Inside):
        return store._raw
    if not isinstance(store, SecretStore):
        raise TypeError("a store has save, load and delete")
    return _Outside(store)
