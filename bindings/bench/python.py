"""What the boundary costs in Python: seal and open beside Rust and Tink (hybrid HPKE), exchanges beside hpke-http, in one run.

    python bindings/bench/python.py            prints the table
    python bindings/bench/python.py --quick    runs everything for an instant, to see that it runs
    python bindings/bench/python.py --write    writes it into bindings/RESULTS.md too; only on a machine that does nothing else

Needs the wheel (bindings/python/build --wheel) and bindings/bench/requirements.txt.
"""

from __future__ import annotations

import json
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import tink
from exchanges import exchanges
from tink import hybrid

from sealwire import Identity, Kem, SealContext, open, seal

ROOT = Path(__file__).parents[2]
SIZES = {"1 KiB": 1 << 10, "1 MiB": 1 << 20}
#: What the rows of an identity are called after.
KEMS = {Kem.X_WING: "", Kem.X25519: ", X25519"}
BEGIN, END = "<!-- python -->\n", "<!-- /python -->\n"


def main() -> None:
    quick = "--quick" in sys.argv
    seconds = 0.02 if quick else 1.0
    rounds = 1 if quick else 5
    runs: dict[str, dict[str, list[float]]] = {}
    # In turn, so that a busy moment of the machine falls on everybody.
    for _ in range(rounds):
        for who, measured in (("rust", rust(seconds)), ("python", python(seconds)), ("tink", tinks(seconds))):
            for what, micros in measured.items():
                runs.setdefault(what, {}).setdefault(who, []).append(micros)
    lines = [
        "| what | Rust | Python | Python ÷ Rust | Tink | times faster than Tink |",
        "|---|---|---|---|---|---|",
    ]
    for what, by in runs.items():
        ours, theirs, core = (statistics.median(by[who]) for who in ("python", "tink", "rust"))
        lines.append(f"| {what} | {core:.1f} µs | {ours:.1f} µs | {ours / core:.2f} | {theirs:.1f} µs | {theirs / ours:.2f} |")
    exchanged = [
        "| what | plain | X-Wing | X25519 | hpke-http | times faster, X-Wing | X25519 |",
        "|---|---|---|---|---|---|---|",
    ]
    for what, took in exchanges(seconds, rounds).items():
        plain = f"{took['plain']:.0f} µs" if "plain" in took else ""
        x_wing, x25519, theirs = took["x-wing"], took["x25519"], took["hpke-http"]
        exchanged.append(
            f"| {what} | {plain} | {x_wing:.0f} µs | {x25519:.0f} µs | {theirs:.0f} µs | {theirs / x_wing:.2f} | {theirs / x25519:.2f} |"
        )
    cpu = next((line.split(": ", 1)[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?")
    text = (
        f"### Python\n\nMade by `python bindings/bench/python.py --write`: medians of {rounds} rounds, in turn. {cpu}; "
        f"CPython {platform.python_version()}, sealwire {version('sealwire')}, tink {version('tink')}, hpke-http {version('hpke_http')}.\n\n"
        "Ours is from the options on, and for X-Wing (post-quantum) where nothing is said. Tink's is DHKEM(X25519, HKDF-SHA256) with AES-256-GCM: "
        "classical, to be compared with the X25519 rows; it does not pad, and knows no chunks.\n\n"
        + "\n".join(lines)
        + "\n\nExchanges: a request and its answer are sealed and opened, both ends in one process, the protocol by itself, and with httpx before an ASGI "
        "app as in each README. hpke-http is DHKEM(X25519, HKDF-SHA256) with ChaCha20-Poly1305 and a secret that both ends share: classical, too.\n\n"
        + "\n".join(exchanged)
        + "\n"
    )
    print(text)
    if "--write" in sys.argv:
        write(text)


def rust(seconds: float) -> dict[str, float]:
    command = ["cargo", "run", "--quiet", "--locked", "--release", "-p", "sealwire-bindings", "--example", "cost", "--", str(seconds)]
    measured: dict[str, float] = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
    return measured


def python(seconds: float) -> dict[str, float]:
    context = SealContext("bench", "1")
    measured = {}
    for kem, of in KEMS.items():
        identity = Identity.generate(kem=kem)
        recipient = identity.recipient
        for name, size in SIZES.items():
            payload = b"\7" * size
            envelope = seal(payload, recipient, context)
            measured[f"seal {name}{of}"] = median(seconds, partial(seal, payload, recipient, context))
            measured[f"open {name}{of}"] = median(seconds, partial(open, envelope, identity, context))
    return measured


def tinks(seconds: float) -> dict[str, float]:
    hybrid.register()
    template = hybrid.hybrid_key_templates.DHKEM_X25519_HKDF_SHA256_HKDF_SHA256_AES_256_GCM
    private = tink.new_keyset_handle(template)
    encrypt = private.public_keyset_handle().primitive(hybrid.HybridEncrypt)
    decrypt = private.primitive(hybrid.HybridDecrypt)
    measured = {}
    for name, size in SIZES.items():
        payload = b"\7" * size
        sealed = encrypt.encrypt(payload, b"bench")
        seals = median(seconds, partial(encrypt.encrypt, payload, b"bench"))
        opens = median(seconds, partial(decrypt.decrypt, sealed, b"bench"))
        # It is of one kind, whatever stands beside it.
        measured |= {f"{verb} {name}{of}": micros for of in KEMS.values() for verb, micros in (("seal", seals), ("open", opens))}
    return measured


def median(seconds: float, run: Callable[[], object]) -> float:
    """Of single runs, in microseconds."""
    end = time.perf_counter() + seconds
    runs: list[float] = []
    while time.perf_counter() < end or len(runs) < 20:
        started = time.perf_counter_ns()
        run()
        runs.append(time.perf_counter_ns() - started)
    return statistics.median(runs) / 1000


def write(text: str) -> None:
    """In the place of what was there, or at the end."""
    path = ROOT / "bindings/RESULTS.md"
    whole = path.read_text() if path.exists() else "# What the boundary costs\n\nSealing and opening in each language beside Rust, in the same run.\n"
    part = f"{BEGIN}{text}{END}"
    found = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    path.write_text(found.sub(lambda _: part, whole) if found.search(whole) else f"{whole}\n{part}")


if __name__ == "__main__":
    main()
