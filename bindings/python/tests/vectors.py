"""What a case of tests/vectors/envelope/ is, and how it is judged: the same outcomes as in tests/tests/conformance.rs."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import sealwire
from sealwire import (
    Identity, Keyring, OpenReader, Opened, OpenStream, Passphrase, Pin, Recipient, SealContext, SealwireError, SeekReader, Signer,
    SymmetricKey, from_text,
)  # fmt: skip
from sealwire.keys import Unlock

CHUNK = 16 * 1024
FOLDERS = [Path(__file__).parents[3] / "tests/vectors/envelope"]
if folder := os.environ.get("SEALWIRE_VECTORS"):
    FOLDERS.append(Path(folder))

__all__ = ["cases", "judge", "load"]


def cases() -> list[Path]:
    return sorted(path for folder in FOLDERS for path in folder.glob("*.json"))


def judge(vector: dict[str, Any]) -> str:
    """The code of the outcome; an `ok` that gives something else than the case says is another text."""
    try:
        return "ok" if OPERATIONS[vector["operation"]](vector) else "ok, but different"
    except SealwireError as error:
        return error.code


def opens(vector: dict[str, Any]) -> bool:
    envelope = from_text(vector["envelope"])
    keys = keys_of(vector["unlock"])
    namespace, *fields = vector["context"] or [""]
    context = SealContext(namespace, *(bytes.fromhex(field["hex"]) if isinstance(field, dict) else field for field in fields))
    signers = vector.get("signers")
    expect = None if signers is None else [Signer(signer) for signer in signers]
    part = vector.get("part") or ""

    streamed = b""
    stream = OpenStream(keys, context, expect=expect, part=part)
    failure: SealwireError | None = None
    try:
        # In two pieces, the first within the header.
        for piece in (envelope[:7], envelope[7:]):
            streamed += stream.push(piece)
        streamed += stream.finish()
    except SealwireError as error:
        failure = error
    try:
        opened = sealwire.open(envelope, keys, context, expect=expect, part=part)
    except SealwireError as error:
        # The stream says the same, and what came out of it before were whole chunks, which were authenticated.
        assert failure is not None and failure.code == error.code, f"one-shot: {error.code}, streamed: {failure}"
        assert len(streamed) % CHUNK == 0
        raise
    assert failure is None, f"streamed: {failure}"
    reader = OpenReader(io.BytesIO(envelope), keys, context, expect=expect, part=part)
    seekable = SeekReader(io.BytesIO(envelope), keys, context, part=part)
    middle = len(seekable) // 2
    ranges = seekable.read_range(0, middle) + seekable.read_range(middle, len(seekable))
    assert opened.plaintext == streamed == reader.read() == ranges, "four readers, two payloads"
    assert opened.signer == stream.signer == reader.signer, "three readers, two signers"
    return matches(opened, vector)


def keys_of(named: dict[str, Any]) -> Unlock:
    if "identities" in named:
        return Keyring(*map(Identity.parse, named["identities"]))
    if "keyring" in named:
        return Keyring(*map(key_of, named["keyring"]))
    return key_of(named)


def key_of(key: dict[str, str]) -> Identity | Passphrase | SymmetricKey:
    if "identity" in key:
        return Identity.parse(key["identity"])
    return Passphrase(key["passphrase"]) if "passphrase" in key else SymmetricKey.from_bytes(bytes.fromhex(key["key"]))


def matches(opened: Opened, vector: dict[str, Any]) -> bool:
    about = opened.about
    metadata = {key: {"hex": value.hex()} if isinstance(value, bytes) else value for key, value in about.metadata.items()}
    if isinstance(vector.get("plaintext"), str):
        payload = opened.plaintext.hex() == vector["plaintext"]
    else:
        payload = len(opened.plaintext) == vector["plaintext_len"]
    addressed = {True: "yes", False: "no", None: "unstated"}[about.addressed_to_me]
    return (
        payload
        and opened.signer == vector.get("signer")
        and addressed == vector["addressed_to_me"]
        and metadata == vector["metadata"]
        and about.created == vector.get("created")
        and about.content_type == vector.get("content_type")
        and about.filename == vector.get("filename")
    )


def same_fingerprint(recipient: Recipient, vector: dict[str, Any]) -> bool:
    return bool(recipient.fingerprint.hex() == vector["fingerprint"])


OPERATIONS = {
    "open": opens,
    "recipient": lambda vector: same_fingerprint(Recipient.parse(vector["text"]), vector),
    "pin": lambda vector: Pin(vector["text"]) == vector["text"],
    "identity": lambda vector: same_fingerprint(Identity.parse(vector["text"]).recipient, vector),
    "text": lambda vector: from_text(vector["text"]).hex() == vector["bytes"],
}


def load(path: Path) -> dict[str, Any]:
    vector: dict[str, Any] = json.loads(path.read_text())
    return vector
