"""Files of any size, parts of them, and chunks."""

from __future__ import annotations

import array
import asyncio
import gc
import io
import os
import shutil
import sys
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import sealwire
from sealwire import (
    Identity, Kem, Misuse, OpenReader, OpenStream, Rejected, SealContext, SealStream, SealWriter, SealwireError, SeekReader, Truncated,
    open_chunks, seal, seal_chunks, stream,
)  # fmt: skip

FILE = SealContext("files", "1")
SIZES = [0, 1, 16_383, 16_384, 16_385, 300_000, 1_000_000]


@pytest.fixture(scope="module")
def bob() -> Identity:
    return Identity.generate(kem=Kem.X25519)


@pytest.fixture(scope="module")
def alice() -> Identity:
    return Identity.generate(kem=Kem.X25519)


def payload(size: int) -> bytes:
    return os.urandom(size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("padded", [True, False])
def test_files(tmp_path: Path, alice: Identity, bob: Identity, size: int, padded: bool) -> None:
    content = payload(size)
    (tmp_path / "plain").write_bytes(content)
    options: dict[str, Any] = {"length": size} if padded else {}
    with (
        (tmp_path / "plain").open("rb") as source,
        (tmp_path / "sealed").open("wb") as target,
        SealWriter(target, bob.recipient, FILE, sign=alice, filename="plain", **options) as writer,
    ):
        shutil.copyfileobj(source, writer, 10_007)
    with (tmp_path / "sealed").open("rb") as source, OpenReader(source, bob, FILE, expect=alice.signer) as reader:
        assert reader.readable() and not reader.writable() and not reader.seekable()
        with pytest.raises(Misuse, match="full read"):
            reader.signer  # noqa: B018
        back = io.BytesIO()
        shutil.copyfileobj(reader, back, 9_999)
        assert back.getvalue() == content
        assert reader.signer == alice.signer
        assert reader.about is not None and reader.about.filename == "plain"
        assert reader.read() == reader.read(1) == reader.read1() == b""
    # The same as in one piece.
    assert sealwire.open((tmp_path / "sealed").read_bytes(), bob, FILE).plaintext == content
    with (tmp_path / "sealed").open("rb") as source:
        seekable = SeekReader(source, bob, FILE)
        assert len(seekable) == size and seekable.read() == content and seekable.read() == b""
        assert seekable.about.filename == "plain"


def test_reading_as_files_are_read(bob: Identity) -> None:
    text = "".join(f"line {at}\n" for at in range(10_000))
    sealed = seal(text, bob.recipient, FILE)
    assert [line.decode() for line in OpenReader(io.BytesIO(sealed), bob, FILE)] == text.splitlines(keepends=True)
    assert io.TextIOWrapper(OpenReader(io.BytesIO(sealed), bob, FILE)).read() == text
    assert io.TextIOWrapper(SeekReader(io.BytesIO(sealed), bob, FILE)).readlines() == text.splitlines(keepends=True)
    reader = OpenReader(io.BytesIO(sealed), bob, FILE)
    buffer = bytearray(4)
    assert reader.peek(1)[:4] == b"line" and reader.readinto(buffer) == 4 and buffer == b"line"
    assert reader.read(3) == b" 0\n" and reader.read1(4) == b"line" and reader.read(0) == b""

    class Trickle(io.RawIOBase):
        """A file that gives one byte at a time."""

        def __init__(self) -> None:
            self.rest = iter(seal(b"slow", bob.recipient, FILE))

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            byte = next(self.rest, None)
            if byte is None:
                return 0
            buffer[0] = byte
            return 1

    assert OpenReader(Trickle(), bob, FILE).read() == b"slow"


def test_random_access(bob: Identity) -> None:
    content = payload(200_000)
    reader = SeekReader(io.BytesIO(seal(content, bob.recipient, FILE)), bob, FILE)
    assert reader.seekable() and reader.readable() and bool(SeekReader(io.BytesIO(seal(b"", bob.recipient, FILE)), bob, FILE))
    for at in (0, 1, 16_383, 16_384, 100_000, 199_999, 200_000, 300_000):
        assert reader.seek(at) == at == reader.tell()
        assert reader.read(1000) == content[at : at + 1000]
        assert reader.tell() == max(at, min(at + 1000, 200_000))
    assert reader.seek(-10, os.SEEK_END) == 199_990 and reader.read() == content[-10:]
    reader.seek(0)
    assert reader.seek(5, os.SEEK_CUR) == 5 and reader.read(5) == content[5:10]
    assert reader.read_range(3, 20_000) == content[3:20_000]
    for start, end in ((-1, 3), (3, 2), (0, 200_001)):
        with pytest.raises(Misuse):
            reader.read_range(start, end)
    with pytest.raises(Misuse):
        reader.seek(-1)
    assert not hasattr(reader, "signer")
    reader.close()
    for use in (reader.read, reader.tell, lambda: reader.seek(0), lambda: reader.read_range(0, 1), reader.seekable):
        with pytest.raises(Misuse):
            use()


def test_random_access_into_what_was_altered(bob: Identity) -> None:
    content = payload(100_000)
    envelope = bytearray(seal(content, bob.recipient, FILE))
    envelope[-60_000] ^= 1
    reader = SeekReader(io.BytesIO(envelope), bob, FILE)
    assert reader.read(10) == content[:10]
    reader.seek(0)
    with pytest.raises(Rejected):
        reader.read()
    for short in (b"", bytes(envelope[:100]), bytes(envelope[:-1000])):
        with pytest.raises((Truncated, Rejected)):
            SeekReader(io.BytesIO(short), bob, FILE).read()


@pytest.mark.parametrize("cut", [0, 5, 200, 400, 20_000, 50_000, -1])
def test_a_file_without_its_end(bob: Identity, cut: int) -> None:
    content = payload(100_000)
    envelope = seal(content, bob.recipient, FILE, padded=False)
    reader = OpenReader(io.BytesIO(envelope[:cut]), bob, FILE)
    got = b""
    with pytest.raises((Truncated, Rejected)) as raised:
        while piece := reader.read1():
            got += piece
    assert content.startswith(got)
    # What failed goes on failing, and never looks like an end.
    for again in (reader.read, reader.read1, lambda: reader.read(5), lambda: next(reader)):
        with pytest.raises(type(raised.value)):
            again()
    with pytest.raises(Misuse):
        reader.signer  # noqa: B018


def test_a_writer_that_is_interrupted(bob: Identity) -> None:
    def aborts(file: io.BytesIO) -> None:
        with pytest.raises(RuntimeError), SealWriter(file, bob.recipient, FILE) as writer:
            writer.write(payload(50_000))
            writer.flush()
            raise RuntimeError("on purpose")
        with pytest.raises(Misuse):
            writer.write(b"x")

    def forgets(file: io.BytesIO) -> None:
        writer = SealWriter(file, bob.recipient, FILE)
        writer.write(payload(500_000))
        gone = weakref.ref(writer)
        del writer
        gc.collect()
        assert gone() is None

    def gives_up(file: io.BytesIO) -> None:
        SealWriter(file, bob.recipient, FILE).abort()

    def aborts_in_text(file: io.BytesIO) -> None:
        with pytest.raises(RuntimeError), SealWriter(file, bob.recipient, FILE) as writer, io.TextIOWrapper(writer) as text:
            text.write("half")
            raise RuntimeError("on purpose")
        assert writer.closed and text.closed

    def aborts_in_a_buffer(file: io.BytesIO) -> None:
        with pytest.raises(RuntimeError), SealWriter(file, bob.recipient, FILE) as writer, io.BufferedWriter(writer) as buffer:  # type: ignore[type-var]
            buffer.write(b"half")
            raise RuntimeError("on purpose")

    def forgets_text(file: io.BytesIO) -> None:
        text = io.TextIOWrapper(SealWriter(file, bob.recipient, FILE))
        text.write("half")
        text.flush()
        del text
        gc.collect()

    for interrupt in (aborts, forgets, gives_up, aborts_in_text, aborts_in_a_buffer, forgets_text):
        file = io.BytesIO()
        interrupt(file)
        with pytest.raises((Truncated, SealwireError)) as raised:
            sealwire.open(file.getvalue(), bob, FILE)
        assert raised.value.code == "Truncated"


def test_a_writer_that_is_wrapped(bob: Identity) -> None:
    file = io.BytesIO()
    with SealWriter(file, bob.recipient, FILE) as writer, io.TextIOWrapper(writer) as text:
        text.write("whole")
    assert writer.closed and sealwire.open(file.getvalue(), bob, FILE).plaintext == b"whole"
    # Of what is forgotten inside of the block, the block decides.
    file = io.BytesIO()
    with SealWriter(file, bob.recipient, FILE) as writer:
        io.TextIOWrapper(writer).write("whole")
        gc.collect()
    assert sealwire.open(file.getvalue(), bob, FILE).plaintext == b"whole"
    # By itself `close` is the end.
    file = io.BytesIO()
    text = io.TextIOWrapper(SealWriter(file, bob.recipient, FILE))
    text.write("whole")
    text.close()
    assert sealwire.open(file.getvalue(), bob, FILE).plaintext == b"whole"


def test_a_writer_takes_whatever_is_bytes(bob: Identity) -> None:
    for size in (6, 600_000):
        for data in (array.array("I", bytes(size * 4)), memoryview(bytes(size))[::2], bytearray(size)):
            file = io.BytesIO()
            with SealWriter(file, bob.recipient, FILE) as writer:
                assert writer.write(data) == memoryview(data).nbytes  # type: ignore[arg-type]
            assert sealwire.open(file.getvalue(), bob, FILE).plaintext == memoryview(data).tobytes()


def test_a_writer_of_several_threads(bob: Identity) -> None:
    def write(letter: bytes) -> None:
        for _ in range(300):
            writer.write(letter * 4096)

    file = io.BytesIO()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with SealWriter(file, bob.recipient, FILE) as writer, ThreadPoolExecutor(4) as threads:
            list(threads.map(write, (b"a", b"b", b"c", b"d")))
    finally:
        sys.setswitchinterval(interval)
    content = sealwire.open(file.getvalue(), bob, FILE).plaintext
    assert len(content) == 4 * 300 * 4096
    assert {content[at : at + 4096] for at in range(0, len(content), 4096)} == {letter * 4096 for letter in (b"a", b"b", b"c", b"d")}


def test_a_writer_after_a_file_that_failed(bob: Identity) -> None:
    class Flaky(io.BytesIO):
        written = 0

        def write(self, data: Any) -> int:
            self.written += 1
            if self.written == 2:
                raise OSError("once")
            return super().write(data)

    class Nothing(io.RawIOBase):
        def __init__(self, taken: int | None) -> None:
            self.taken = taken

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int | None:
            return self.taken

    flaky = Flaky()
    writer = SealWriter(flaky, bob.recipient, FILE)
    writer.write(bytes(300_000))
    for _ in range(2):
        with pytest.raises(OSError, match="once"):
            writer.write(bytes(300_000))
    with pytest.raises(OSError, match="once"):
        writer.close()
    for taken in (None, 0):
        with pytest.raises(BlockingIOError), SealWriter(Nothing(taken), bob.recipient, FILE) as writer:
            writer.write(bytes(300_000))


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, asyncio.CancelledError])
def test_a_write_that_is_interrupted(bob: Identity, interrupt: type[BaseException]) -> None:
    class Interrupted(io.BytesIO):
        at = 2

        def write(self, data: Any) -> int:
            self.at -= 1
            if self.at == 0:
                raise interrupt
            return super().write(data)

    file = Interrupted()
    writer = SealWriter(file, bob.recipient, FILE)
    writer.write(bytes(300_000))
    with pytest.raises(interrupt):
        writer.write(bytes(300_000))
    for use in (lambda: writer.write(b"little"), lambda: writer.write(bytes(300_000)), writer.flush, writer.close):
        with pytest.raises(Misuse, match="interrupted"):
            use()
    assert writer.closed
    with pytest.raises(SealwireError):
        sealwire.open(file.getvalue(), bob, FILE)


def test_a_python_that_does_not_say_what_is_forgotten(bob: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_TELLS", False)
    file = io.BytesIO()
    text = io.TextIOWrapper(SealWriter(file, bob.recipient, FILE))
    text.write("half")
    with pytest.raises(Misuse):
        text.close()
    with pytest.raises(Truncated):
        sealwire.open(file.getvalue(), bob, FILE)
    file = io.BytesIO()
    with SealWriter(file, bob.recipient, FILE) as writer, io.TextIOWrapper(writer) as text:
        text.write("whole")
    assert sealwire.open(file.getvalue(), bob, FILE).plaintext == b"whole"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork()")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_does_not_share_a_stream(bob: Identity) -> None:
    """Parent and child would seal two texts with one key and the same nonces."""
    stream, file = SealStream(bob.recipient, FILE), io.BytesIO()
    writer = SealWriter(file, bob.recipient, FILE)
    envelope = stream.push(bytes(20_000))
    writer.write(b"of both")
    child = os.fork()
    if child == 0:
        refused = 0
        for use in (lambda: stream.push(b"child"), stream.finish, lambda: writer.write(b"child"), writer.flush, writer.close):
            try:
                use()
            except Misuse:
                refused += 1
        os._exit(refused if not file.getvalue() else 99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
    writer.close()
    assert sealwire.open(file.getvalue(), bob, FILE).plaintext == b"of both"
    assert len(sealwire.open(envelope + stream.finish(), bob, FILE).plaintext) == 20_000


def test_a_writer_keeps_to_what_it_said(bob: Identity) -> None:
    for written in (9, 11):
        file = io.BytesIO()
        writer = SealWriter(file, bob.recipient, FILE, length=10)
        with pytest.raises(Misuse):
            writer.write(bytes(written))
            writer.close()
        writer.abort()
        with pytest.raises(SealwireError):
            sealwire.open(file.getvalue(), bob, FILE)


def test_a_writer_that_is_closed(bob: Identity) -> None:
    file = io.BytesIO()
    writer = SealWriter(file, bob.recipient, FILE)
    assert writer.writable() and writer.write(memoryview(b"abc")) == 3
    writer.close()
    writer.close()
    assert writer.closed and not file.closed
    for use in (lambda: writer.write(b"x"), writer.flush, writer.writable):
        with pytest.raises(ValueError, match="closed"):
            use()
    assert sealwire.open(file.getvalue(), bob, FILE).plaintext == b"abc"


def test_a_full_disk_is_said(bob: Identity) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    writer = SealWriter(Full(), bob.recipient, FILE)
    with pytest.raises(OSError, match="No space"):
        writer.write(payload(1_000_000))
    with pytest.raises(OSError, match="No space"):
        writer.close()
    assert writer.closed

    class Short(io.RawIOBase):
        """A file that takes little at a time."""

        def __init__(self) -> None:
            self.taken = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.taken += bytes(data[:1000])
            return min(1000, len(data))

    short = Short()
    with SealWriter(short, bob.recipient, FILE) as writer:
        writer.write(bytes(100_000))
    assert sealwire.open(short.taken, bob, FILE).plaintext == bytes(100_000)


def test_chunks(alice: Identity, bob: Identity) -> None:
    content = payload(100_000)
    pieces = [content[at : at + 777] for at in range(0, len(content), 777)]
    sealed = list(seal_chunks(pieces, bob.recipient, FILE, length=len(content), sign=alice))
    assert sealwire.open(b"".join(sealed), bob, FILE).plaintext == content
    opening = open_chunks(sealed, bob, FILE, expect=alice.signer)
    first = next(opening)
    with pytest.raises(Misuse):
        opening.signer  # noqa: B018
    assert first + b"".join(opening) == content
    assert opening.signer == alice.signer and opening.about is not None
    with pytest.raises(Truncated):
        list(open_chunks(sealed[:-1], bob, FILE))
    with pytest.raises(Truncated):
        list(open_chunks([], bob, FILE))


def test_a_stream_after_its_end(alice: Identity, bob: Identity) -> None:
    sealing = SealStream(bob.recipient, FILE, length=3, sign=alice)
    envelope = sealing.push(b"abc")
    assert sealing.sealed_length == len(envelope) + len(rest := sealing.finish())
    opening = OpenStream(bob, FILE)
    assert opening.about is None
    assert opening.push(envelope + rest) + opening.finish() == b"abc"
    uses: list[Callable[[], object]] = [
        sealing.finish, lambda: sealing.push(b"x"), lambda: sealing.sealed_length, opening.finish, lambda: opening.push(b"x"),
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(Misuse):
            use()
    assert opening.signer == alice.signer
