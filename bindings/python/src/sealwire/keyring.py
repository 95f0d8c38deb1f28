"""The operating system's keychain as a store: macOS Keychain, Windows Credential Locker, Secret Service, KWallet."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

import keyring
import keyring.errors

from ._bytes import BytesLike, as_bytes
from ._error import Malformed, StoreFailed

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

__all__ = ["KeyringStore"]


class KeyringStore:
    """A `SecretStore` in the operating system's keychain, by the package ``keyring``.

    ``service`` is what the keychain calls your app; ``backend`` one of keyring's backends, its own choice unless told otherwise. The keychain decides
    who may read: on most systems every program of the same user. Raises `StoreFailed`, with keyring's own error as its ``__cause__``.
    """

    def __init__(self, service: str, *, backend: KeyringBackend | None = None) -> None:
        self._service = service
        self._backend = keyring.get_keyring() if backend is None else backend

    def save(self, name: str, secret: BytesLike, /) -> None:
        """Keeps ``secret`` under ``name``."""
        text = base64.urlsafe_b64encode(as_bytes(secret)).decode()
        try:
            self._backend.set_password(self._service, name, text)
        except keyring.errors.KeyringError as error:
            raise _failed() from error

    def load(self, name: str, /) -> bytes | None:
        """What is kept under ``name``; `None` if nothing is. Raises `Malformed` for what this class has not saved."""
        try:
            text = self._backend.get_password(self._service, name)
        except keyring.errors.KeyringError as error:
            raise _failed() from error
        if text is None:
            return None
        try:
            return base64.b64decode(text.encode(), b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError):
            pass
        # Only here, where that error is no context of this one: it may have the text.
        raise Malformed("malformed: what the keychain has is not a secret of ours")

    def delete(self, name: str, /) -> None:
        """Forgets ``name``; nothing happens if there is nothing."""
        try:
            if self._backend.get_password(self._service, name) is not None:
                self._backend.delete_password(self._service, name)
        except keyring.errors.KeyringError as error:
            raise _failed() from error


def _failed() -> StoreFailed:
    return StoreFailed("storage failed: the keychain")
