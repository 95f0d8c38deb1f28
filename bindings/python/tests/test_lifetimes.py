"""Memory, threads, and what is left half done."""

from __future__ import annotations

import concurrent.futures
import gc
import io
import os
import threading
from pathlib import Path

import sealwire
from sealwire import Identity, Kem, Misuse, OpenReader, OpenStream, SealContext, SealStream, SealWriter, SealwireError, seal

NOTE = SealContext("notes", "17")
CYCLES = 100_000


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_memory_is_flat() -> None:
    """100,000 times sealed and opened, each tenth time with an error."""
    bob = Identity.generate(kem=Kem.X25519)
    recipient = bob.recipient
    other = SealContext("notes", "18")

    def cycles(count: int) -> None:
        for at in range(count):
            envelope = seal(b"meet me at noon", recipient, NOTE)
            assert sealwire.open(envelope, bob, NOTE).plaintext == b"meet me at noon"
            if at % 10 == 0:
                try:
                    sealwire.open(envelope, bob, other)
                except SealwireError:
                    pass
                else:
                    raise AssertionError

    cycles(2_000)
    gc.collect()
    before = resident()
    cycles(CYCLES)
    gc.collect()
    # 100 bytes that leak in each would be 10 MB.
    assert resident() - before < 5 << 20


def test_what_is_refused_keeps_no_key() -> None:
    """Half a surrogate pair, as JSON may hold, behind a key in one call."""
    recipient = Identity.generate(kem=Kem.X25519).recipient

    def refused(count: int) -> None:
        for _ in range(count):
            with Identity.generate(kem=Kem.X25519) as alice:
                try:
                    seal(b"", recipient, NOTE, sign=alice, filename="\ud800")
                except Misuse:
                    pass
                else:
                    raise AssertionError

    refused(200)
    gc.collect()
    before = resident()
    refused(3000)
    gc.collect()
    # An identity that was kept would be a kilobyte.
    assert resident() - before < 1 << 20


def test_what_is_left_half_done_is_released() -> None:
    bob = Identity.generate(kem=Kem.X25519)
    envelope = seal(bytes(200_000), bob.recipient, NOTE)

    def half(count: int) -> None:
        for _ in range(count):
            SealStream(bob.recipient, NOTE).push(bytes(100_000))
            OpenStream(bob, NOTE).push(envelope[:100_000])
            SealWriter(io.BytesIO(), bob.recipient, NOTE).write(bytes(300_000))
            OpenReader(io.BytesIO(envelope), bob, NOTE).read(1000)

    half(20)
    gc.collect()
    before = resident()
    half(1_000)
    gc.collect()
    assert resident() - before < 5 << 20


def test_sixteen_threads() -> None:
    """The same keys, and streams of their own, from 16 threads at once."""
    alice, bob = Identity.generate(kem=Kem.X25519), Identity.generate()
    start = threading.Barrier(16)

    def work(number: int) -> int:
        start.wait()
        for at in range(50):
            context = SealContext("threads", number, at)
            content = bytes([number]) * (at * 1000)
            envelope = seal(content, bob.recipient, context, sign=alice)
            opened = sealwire.open(envelope, bob, context, expect=alice.signer)
            assert opened.plaintext == content
            with OpenReader(io.BytesIO(envelope), bob, context) as reader:
                assert reader.read() == content
        return number

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert sorted(pool.map(work, range(16))) == list(range(16))


def test_one_stream_from_sixteen_threads() -> None:
    """Whatever the order, it opens or says why; it never crashes."""
    bob = Identity.generate(kem=Kem.X25519)
    stream = SealStream(bob.recipient, NOTE)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        pieces = list(pool.map(lambda _: stream.push(bytes(10_000)), range(64)))
    assert len(pieces) == 64
    stream.finish()
    opening = OpenStream(bob, NOTE)
    envelope = seal(bytes(100_000), bob.recipient, NOTE)

    def push(at: int) -> str:
        try:
            opening.push(envelope[at * 1000 : at * 1000 + 1000])
        except SealwireError as error:
            return error.code
        return "ok"

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        codes = set(pool.map(push, range(64)))
    assert codes <= {"ok", "Misuse", "Malformed", "Rejected", "NotRecipient", "Truncated", "Unsupported", "TooLarge"}


def test_an_identity_that_is_closed_by_another_thread() -> None:
    for _ in range(50):
        bob = Identity.generate(kem=Kem.X25519)
        envelope = seal(b"x", bob.recipient, NOTE)

        def work(bob: Identity = bob, envelope: bytes = envelope) -> str:
            try:
                return sealwire.open(envelope, bob, NOTE).text()
            except SealwireError as error:
                return error.code

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            working = [pool.submit(work) for _ in range(16)]
            pool.submit(bob.close)
            assert {one.result() for one in working} <= {"x", "Misuse"}
