"""Python's share of tests/matrix/: writes its cases into the folder at the path given."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from sealwire import (
    Aead, Anonymous, Identity, Kem, Passphrase, Reader, SealContext, SymmetricKey, seal, seal_chunks, to_text,
)  # fmt: skip

AEADS = {"Aes256Gcm": Aead.AES_256_GCM, "ChaCha20Poly1305": Aead.CHACHA20_POLY1305, None: None}


def sealed(case: dict[str, Any]) -> dict[str, Any]:
    reader, unlock = reader_of(case["to"])
    namespace, *fields = case["context"]
    context = SealContext(namespace, *map(value_of, fields))
    signer = Identity.generate(kem=Kem.X25519) if case.get("sign") else None
    payload = bytes(at * 7 % 251 for at in range(case["length"]))
    options: dict[str, Any] = {
        "sign": signer,
        "metadata": {key: value_of(value) for key, value in case.get("metadata", {}).items()},
        "created": case.get("created"),
        "content_type": case.get("content_type"),
        "filename": case.get("filename"),
        "aead": AEADS[case.get("aead")],
        "part": case.get("part", ""),
    }
    if case.get("streamed"):
        pieces = [payload[at : at + 10_000] for at in range(0, len(payload), 10_000)]
        envelope = b"".join(seal_chunks(pieces, reader, context, **options))
    else:
        envelope = seal(payload, reader, context, padded=case.get("padded", True), **options)
    return {
        "about": f"Sealed in Python: {case['name']}.",
        "spec": "matrix",
        "operation": "open",
        "expect": "ok",
        "envelope": to_text(envelope),
        "unlock": unlock,
        "context": case["context"],
        "part": case.get("part", ""),
        "signers": None if signer is None else [signer.signer],
        "plaintext": payload.hex(),
        "signer": None if signer is None else signer.signer,
        "metadata": case.get("metadata", {}),
        "created": case.get("created"),
        "content_type": case.get("content_type"),
        "filename": case.get("filename"),
        # Only what is signed says to whom.
        "addressed_to_me": "unstated" if signer is None else "yes",
    }


def reader_of(to: str) -> tuple[Reader, dict[str, str]]:
    if to == "passphrase":
        text = "correct horse battery staple"
        return Passphrase(text, memory=8192, passes=1, lanes=1), {"passphrase": text}
    if to == "key":
        key = SymmetricKey.generate()
        return key, {"key": key.reveal().hex()}
    identity = Identity.generate(kem=Kem.X25519 if to == "X25519" else Kem.X_WING)
    unlock = {"identity": identity.reveal().decode()}
    return Anonymous(identity.recipient) if to == "anonymous" else identity.recipient, unlock


def value_of(value: Any) -> Any:
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value


def write(folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for case in json.loads((Path(__file__).parents[3] / "tests/matrix/cases.json").read_text()):
        path = folder / f"python-{case['name']}.json"
        path.write_text(json.dumps(sealed(case), indent=2))
        written.append(path)
    return written


if __name__ == "__main__":
    write(Path(sys.argv[1]))
