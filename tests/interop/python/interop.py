"""A line protocol around sealwire_spec: one JSON object per line in, one per line out. See README.md."""

from __future__ import annotations

import json
import sys
from typing import Any

import interop_http
import sealwire_spec as sw

AEADS = {"AES-256-GCM": sw.AES_256_GCM, "ChaCha20-Poly1305": sw.CHACHA20_POLY1305}
KEM_IDS = {kem.name: kem_id for kem_id, kem in sw.KEMS.items()}
PRIVATE_FIELDS = ("created", "content_type", "filename")


def value_from_json(value: Any) -> int | str | bytes:
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value


def value_to_json(value: int | str | bytes) -> Any:
    return {"hex": value.hex()} if isinstance(value, bytes) else value


def context_from_json(context: list) -> list[sw.ContextField]:
    return [value_from_json(value) for value in context]


def metadata_to_json(metadata: dict) -> dict:
    return {key: value_to_json(value) for key, value in metadata.items()}


def locker(to: dict) -> sw.Locker:
    if "recipient" in to:
        return sw.parse_recipient(to["recipient"])
    if "anonymous" in to:
        return sw.Anonymous(sw.parse_recipient(to["anonymous"]))
    if "passphrase" in to:
        return sw.Passphrase(to["passphrase"], *(to[cost] for cost in ("m", "t", "p") if "m" in to))
    return sw.SymmetricKey(bytes.fromhex(to["key"]))


def unlockers(by: dict) -> list[sw.Key]:
    if "identity" in by:
        return [sw.parse_identity(by["identity"])]
    if "identities" in by:
        return [sw.parse_identity(text) for text in by["identities"]]
    if "keyring" in by:
        return [key for one in by["keyring"] for key in unlockers(one)]
    if "passphrase" in by:
        return [sw.Passphrase(by["passphrase"])]
    return [sw.SymmetricKey(bytes.fromhex(by["key"]))]


def seal(ask: dict) -> dict:
    envelope = sw.seal(
        sw.from_text(ask["plaintext"]),
        [locker(to) for to in ask["to"]],
        context_from_json(ask["context"]),
        ask.get("part", ""),
        aead=AEADS[ask.get("aead", "AES-256-GCM")],
        padded=ask.get("padded", True),
        sign=sw.parse_identity(ask["sign"]) if ask.get("sign") else None,
        metadata={key: value_from_json(value) for key, value in (ask.get("metadata") or {}).items()},
        audience=ask.get("audience", False),
        **{name: ask.get(name) for name in PRIVATE_FIELDS},
    )
    return {"envelope": sw.to_text(envelope)}


def open_(ask: dict) -> dict:
    signers = ask.get("signers")
    opened = sw.open_envelope(
        sw.from_text(ask["envelope"]),
        unlockers(ask["unlock"]),
        context_from_json(ask["context"]),
        ask.get("part", ""),
        None if signers is None else [bytes.fromhex(signer) for signer in signers],
    )
    private = opened.private
    return {
        "plaintext": sw.to_text(opened.payload),
        "signer": None if private.signer is None else private.signer.hex(),
        "metadata": metadata_to_json(opened.metadata),
        **{name: getattr(private, name) for name in PRIVATE_FIELDS},
        "addressed_to_me": opened.addressed_to_me,
    }


def rewrap(ask: dict) -> dict:
    envelope = sw.rewrap(
        sw.from_text(ask["envelope"]),
        unlockers(ask["unlock"]),
        context_from_json(ask["context"]),
        [locker(to) for to in ask["to"]],
        ask.get("part", ""),
    )
    return {"envelope": sw.to_text(envelope)}


def recipient(ask: dict) -> dict:
    parsed = sw.parse_recipient(ask["text"])
    return {
        "kem": sw.KEMS[parsed.kem_id].name,
        "fingerprint": parsed.fingerprint.hex(),
        "signer": parsed.signing_public.hex(),
    }


def identity(ask: dict) -> dict:
    return {"recipient": sw.parse_identity(ask["text"]).recipient.to_text()}


def generate(ask: dict) -> dict:
    made = sw.generate(KEM_IDS[ask["kem"]])
    return {"identity": made.to_text(), "recipient": made.recipient.to_text()}


OPERATIONS = {
    "seal": seal,
    "open": open_,
    "rewrap": rewrap,
    "recipient": recipient,
    "identity": identity,
    "generate": generate,
} | interop_http.OPERATIONS


def answer(line: str) -> dict:
    try:
        ask = json.loads(line)
        return {"ok": True} | OPERATIONS[ask["op"]](ask)
    except sw.SealwireError as error:
        status = {"status": error.status} if hasattr(error, "status") else {}
        return {"ok": False, "code": error.code, "why": str(error)} | status
    except Exception as error:  # a driver answers whatever happens: the other side waits for a line
        return {"ok": False, "code": "internal", "why": repr(error)}


def main() -> None:
    for line in sys.stdin:
        if line.strip():
            print(json.dumps(answer(line)), flush=True)


if __name__ == "__main__":
    main()
