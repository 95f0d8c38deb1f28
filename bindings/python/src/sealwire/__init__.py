"""Sealwire: client-side end-to-end encryption for APIs.

Seal bytes to people, open them again, and let nobody in between read them. Post-quantum by default, one wire format in every language.

- `seal`, `open`, `rewrap`, `reseal`, `inspect`: payloads that fit in memory
- `SealWriter`, `OpenReader`, `SeekReader`: files of any size
- ``sealwire.httpx``, ``sealwire.requests``: the HTTP clients that you have, sealed
- ``sealwire.asgi``: services and gateways (FastAPI, Starlette)
- `MemoryStore`, `FileStore`, ``sealwire.keyring``: where keys are kept
"""

from importlib.metadata import version as _version

from . import _buffers as _buffers
from ._error import (
    Expired, Internal, InvalidKey, Malformed, Misuse, NetworkFailed, NotRecipient, Rejected, Replayed, SealwireError, StoreFailed, TooLarge,
    Truncated, Unsealed, Unsupported,
)  # fmt: skip
from .context import ContextField, SealContext
from .keys import ContentKey, Identity, Kem, KeyService, Keyring, Passphrase, Pin, Recipient, Signer, SymmetricKey, Unlock
from .policy import (
    CallEvent, CallOptions, InPlace, ListItem, ListMembers, Policy, Rule, SealedInfo, SealedResource, TrustFirstUse, TrustKeys, TrustPins,
    Tunnel,
)  # fmt: skip
from .request import sign_request
from .seal import (
    About, Aead, Anonymous, Header, Metadata, MetadataValue, Opened, Reader, Readers, SealedParts, Slot, from_text, header_len, inspect, join,
    open, open_detached, reseal, rewrap, rewrap_header, seal, seal_parts, split, to_text,
)  # fmt: skip
from .stores import FileStore, MemoryStore, SecretStore
from .stream import OpenReader, OpenStream, SealStream, SealWriter, SeekReader, open_chunks, seal_chunks

__version__ = _version("sealwire")

__all__ = [
    "About", "Aead", "Anonymous", "CallEvent", "CallOptions", "ContentKey", "ContextField", "Expired", "FileStore", "Header", "Identity",
    "InPlace", "Internal", "InvalidKey", "Kem", "KeyService", "Keyring", "ListItem", "ListMembers", "Malformed", "MemoryStore", "Metadata",
    "MetadataValue", "Misuse", "NetworkFailed", "NotRecipient", "OpenReader", "OpenStream", "Opened", "Passphrase", "Pin", "Policy", "Reader",
    "Readers", "Recipient", "Rejected", "Replayed", "Rule", "SealContext", "SealStream", "SealWriter", "SealedInfo", "SealedParts",
    "SealedResource", "SealwireError", "SecretStore", "SeekReader", "Signer", "Slot", "StoreFailed", "SymmetricKey", "TooLarge", "Truncated",
    "TrustFirstUse", "TrustKeys", "TrustPins", "Tunnel", "Unlock", "Unsealed", "Unsupported", "from_text", "header_len", "inspect", "join",
    "open", "open_chunks", "open_detached", "reseal", "rewrap", "rewrap_header", "seal", "seal_chunks", "seal_parts", "sign_request", "split",
    "to_text",
]  # fmt: skip
