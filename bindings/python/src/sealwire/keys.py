"""Identities, recipients and the other keys."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Protocol, Union, runtime_checkable

from ._bytes import BytesLike, as_bytes, wanted
from ._error import call, calling_back, misuse
from ._ffi import sealwire as ffi
from ._held import Closing, Held
from .stores import SecretStore, raw_store

__all__ = [
    "ContentKey", "Identity", "Kem", "KeyService", "Keyring", "Passphrase", "Pin", "Recipient", "Signer", "SymmetricKey", "Unlock",
]  # fmt: skip


class Kem(enum.Enum):
    """How a content key gets to a recipient."""

    X_WING = "XWing"
    """ML-KEM-768 and X25519 together: post-quantum. The default."""
    X25519 = "X25519"
    """32-byte keys. **Not** post-quantum: traffic that is recorded today can be opened by a quantum computer later."""


class Signer(str):
    """A public signing key, as its text: 64 characters of hexadecimal. Raises `InvalidKey` for a text that is none."""

    __slots__ = ()

    def __new__(cls, text: str) -> Signer:
        """Reads the text, and gives it in its one form."""
        return str.__new__(cls, call(ffi.parse_signer, text))

    @property
    def key_id(self) -> str:
        """The name of this key in HTTP signatures: a JWK thumbprint, 43 characters."""
        return call(ffi.key_id, str(self))


class Pin(str):
    """The short form of a recipient for configuration: ``sealwire-pin1…``. Raises `InvalidKey` for a text that is none."""

    __slots__ = ()

    def __new__(cls, text: str) -> Pin:
        """Reads the text, and gives it in its one form."""
        return str.__new__(cls, call(ffi.parse_pin, text))

    def check(self, recipient: Recipient) -> None:
        """Raises `InvalidKey` for a recipient that is not the pinned one."""
        call(ffi.check_pin, str(self), wanted(Recipient, recipient)._raw)


class Recipient(Held[ffi.Recipient]):
    """The public half of an identity: whom to seal to, and whose signatures to expect.

    Its text form (``str(recipient)``, ``sealwire1…``) is what people paste to each other: about 2,100 characters, 223 with X25519. It can be
    compared, hashed, and pickled. Source: SPEC §10.
    """

    __slots__ = ()

    def __init__(self) -> None:
        raise TypeError("a recipient comes of Recipient.parse or of an identity")

    @classmethod
    def parse(cls, text: str) -> Recipient:
        """Reads the text form. Raises `InvalidKey` if a character is wrong, or if it is a mix of two people's keys."""
        return cls._of(call(ffi.Recipient.parse, text))

    @property
    def kem(self) -> Kem:
        """Its KEM."""
        return Kem[call(self._raw.kem).name]

    @property
    def signer(self) -> Signer:
        """The public signing key: what readers list in ``expect``."""
        return str.__new__(Signer, call(self._raw.signer))

    @property
    def fingerprint(self) -> bytes:
        """32 bytes over both keys."""
        return call(self._raw.fingerprint)

    @property
    def fingerprint_text(self) -> str:
        """The fingerprint for people to compare."""
        return call(self._raw.fingerprint_text)

    @property
    def pin(self) -> Pin:
        """The short form for configuration and QR codes. It cannot be sealed to: `Pin.check` tells whether a recipient is the pinned one."""
        return str.__new__(Pin, call(self._raw.pin))

    def __str__(self) -> str:
        return call(self._raw.__str__)

    def __repr__(self) -> str:
        return f"<Recipient {self.fingerprint_text}>"

    def __eq__(self, other: object) -> bool:
        return self.fingerprint == other.fingerprint if isinstance(other, Recipient) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __reduce__(self) -> tuple[Callable[[str], Recipient], tuple[str]]:  # type: ignore[override]
        return Recipient.parse, (str(self),)


class Identity(Closing[ffi.Identity]):
    """The private keys of a person, a device or a service: one KEM key pair and one signing key pair.

    They live in the library's memory: nothing that prints, copies or pickles an identity shows them. ``close()``, or the end of a ``with``
    block, gives them up to be wiped. The public half, to be given to everybody, is `Identity.recipient`. Source: SPEC §10.
    """

    __slots__ = ("_alone",)
    _alone: ffi.Keyring | None

    def __init__(self) -> None:
        raise TypeError("an identity comes of Identity.generate, parse or load")

    @classmethod
    def generate(cls, *, kem: Kem = Kem.X_WING) -> Identity:
        """A new identity, post-quantum unless ``kem`` says otherwise. Raises `Unsupported` if the system gives no randomness."""
        return cls._of(call(ffi.Identity.generate, ffi.Kem[wanted(Kem, kem).name]))

    @classmethod
    def parse(cls, text: str) -> Identity:
        """Reads the secret text form, ``sealwire-identity1…``. Raises `InvalidKey` if a character is wrong or the length.

        Python cannot wipe a string: where it matters, keep identities in a store.
        """
        return cls._of(call(ffi.Identity.parse, text))

    @classmethod
    def parse_file(cls, text: str) -> list[Identity]:
        """Reads an identity file: one text form per line; empty lines and lines with ``#`` in front are skipped.

        Raises `TooLarge` above 64 KiB or 64 identities, `Malformed` if there is none, and as `Identity.parse` does.
        """
        return [cls._of(raw) for raw in call(ffi.parse_identity_file, text)]

    @classmethod
    def load(cls, store: SecretStore, name: str) -> Identity | None:
        """The identity that was saved in ``store`` under ``name``; `None` if there is none. Raises `InvalidKey` if something else is there."""
        raw = call(ffi.load_identity, raw_store(store), name)
        return None if raw is None else cls._of(raw)

    def save(self, store: SecretStore, name: str) -> None:
        """Keeps this identity in ``store`` under ``name``."""
        call(self._raw.save, raw_store(store), name)

    @property
    def recipient(self) -> Recipient:
        """The public half, to be given to everybody."""
        return Recipient._of(call(self._raw.recipient))

    @property
    def signer(self) -> Signer:
        """The public signing key: what readers list in ``expect``."""
        return str.__new__(Signer, call(self._raw.signer))

    def close(self) -> None:
        """Gives it up, as every key."""
        super().close()
        self._alone = None

    def _keyring(self) -> ffi.Keyring:
        """One with nothing but this, made once."""
        raw = self._raw
        alone = getattr(self, "_alone", None)
        if alone is None:
            alone = self._alone = call(ffi.Keyring, [_raw_key(self)])
        # Another thread may have closed it meanwhile.
        if self._held is not raw:
            self._alone = None
            raise misuse("it is closed")
        return alone

    def reveal(self) -> bytes:
        """The **secret** text form, ``sealwire-identity1…``, as 130 bytes of ASCII. Python cannot wipe them."""
        return call(self._raw.reveal)


class Passphrase(Closing[ffi.Passphrase]):
    """A passphrase that seals and opens (Argon2id: 64 MiB, 3 passes, unless told otherwise).

    ``memory`` is in KiB. Raises `Misuse` for an empty text and for costs outside of the limits (256 MiB, 10 passes, 8 lanes), and takes all
    three costs or none. Source: SPEC §4.
    """

    __slots__ = ()

    def __init__(self, text: str, *, memory: int | None = None, passes: int | None = None, lanes: int | None = None) -> None:
        costs = None
        if memory is not None and passes is not None and lanes is not None:
            costs = ffi.Argon2Costs(memory=memory, passes=passes, lanes=lanes)
        elif (memory, passes, lanes) != (None, None, None):
            raise TypeError("memory, passes and lanes go together")
        super().__init__(call(ffi.Passphrase, text, costs))


class SymmetricKey(Closing[ffi.SymmetricKey]):
    """A key of 32 bytes that several parties have. Source: SPEC §4."""

    __slots__ = ()

    def __init__(self) -> None:
        raise TypeError("a symmetric key comes of SymmetricKey.generate or from_bytes")

    @classmethod
    def generate(cls) -> SymmetricKey:
        """A new key."""
        return cls._of(call(ffi.SymmetricKey.generate))

    @classmethod
    def from_bytes(cls, key: BytesLike) -> SymmetricKey:
        """A key of 32 bytes, uniformly random: never a passphrase. Raises `InvalidKey` for another length."""
        return cls._of(call(ffi.SymmetricKey.from_bytes, as_bytes(key)))

    @property
    def id(self) -> bytes:
        """What envelopes call this key, which tells nothing about it."""
        return call(self._raw.id)

    def reveal(self) -> bytes:
        """The **secret** key. Python cannot wipe it."""
        return call(self._raw.reveal)


class ContentKey(Closing[ffi.ContentKey]):
    """The content key of one envelope, from a slot that was unlocked elsewhere: the second step after `inspect`.

    ``candidate`` is the 32 bytes that the slot's operation gave; they are checked against the header. Raises `NotRecipient` if they are not
    this envelope's. Source: SPEC §11.
    """

    __slots__ = ()

    def __init__(self, envelope: BytesLike, candidate: BytesLike) -> None:
        super().__init__(call(ffi.ContentKey, as_bytes(envelope), as_bytes(candidate)))


@runtime_checkable
class KeyService(Protocol):
    """A service that wraps content keys: a KMS, an HSM. ``binding`` is its associated data (encryption context)."""

    @property
    def service(self) -> str:
        """Its name, which stands in envelopes **in clear**."""

    def wrap_key(self, content_key: bytes, binding: bytes, /) -> bytes:
        """Wraps the 32 bytes of a content key."""

    def unwrap_key(self, wrapped: bytes, binding: bytes, /) -> bytes | None:
        """The 32 bytes; `None` if the service says no."""


class Keyring(Closing[ffi.Keyring]):
    """Several keys that may open, tried in this order: an identity and older ones, say. Closing a key afterwards does not take it away."""

    __slots__ = ()

    def __init__(self, *keys: Identity | Passphrase | SymmetricKey | ContentKey | KeyService) -> None:
        super().__init__(call(ffi.Keyring, [_raw_key(key) for key in keys]))


Unlock = Union[Identity, Passphrase, SymmetricKey, ContentKey, KeyService, Keyring]
"""Whatever may open."""


class RawService(ffi.KeyService):
    """A key service, to the library."""

    def __init__(self, service: KeyService) -> None:
        self._service = service

    def service(self) -> str:
        return calling_back(lambda: self._service.service)

    def wrap_key(self, content_key: bytes, binding: bytes) -> bytes:
        return calling_back(lambda: as_bytes(self._service.wrap_key(content_key, binding)))

    def unwrap_key(self, wrapped: bytes, binding: bytes) -> bytes | None:
        def unwrapped() -> bytes | None:
            key = self._service.unwrap_key(wrapped, binding)
            return None if key is None else as_bytes(key)

        return calling_back(unwrapped)


def raw_keyring(keys: Unlock) -> ffi.Keyring:
    """The keys for the library."""
    if isinstance(keys, Identity):
        return keys._keyring()
    return keys._raw if isinstance(keys, Keyring) else call(ffi.Keyring, [_raw_key(keys)])


def _raw_key(key: Identity | Passphrase | SymmetricKey | ContentKey | KeyService) -> ffi.Key:
    made: ffi.Key
    if isinstance(key, Identity):
        made = ffi.Key.IDENTITY(key._raw)  # type: ignore[assignment]
    elif isinstance(key, Passphrase):
        made = ffi.Key.PASSPHRASE(key._raw)  # type: ignore[assignment]
    elif isinstance(key, SymmetricKey):
        made = ffi.Key.SYMMETRIC(key._raw)  # type: ignore[assignment]
    elif isinstance(key, ContentKey):
        made = ffi.Key.CONTENT(key._raw)  # type: ignore[assignment]
    elif isinstance(key, KeyService):
        made = ffi.Key.SERVICE(RawService(key))  # type: ignore[assignment]
    else:
        raise TypeError(f"a key is wanted, not {type(key).__name__}")
    return made
