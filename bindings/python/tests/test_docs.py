"""What the README and the examples say is run."""

from __future__ import annotations

import difflib
import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from loopback import free_port

ROOT = Path(__file__).parents[3]
README = (ROOT / "bindings/python/README.md").read_text()
EXAMPLES = ROOT / "examples/python"
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_the_readmes_blocks_run(block: str) -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", block], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_there_are_blocks() -> None:
    assert len(BLOCKS) == 2


def test_the_readmes_client_and_service_fit() -> None:
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    (diff,) = re.findall(r"```diff\n(.*?)```", README, re.DOTALL)
    client = "\n".join(line[1:] for line in diff.splitlines() if line[0] != "-")
    service = BLOCKS[1].replace("https://api.example.com", origin).replace("(identity.recipient.pin)", "(identity.recipient.pin, flush=True)")
    service += f"\nimport uvicorn\nuvicorn.run(app, port={port}, log_level='warning')"
    assert origin in service
    with subprocess.Popen([sys.executable, "-c", service], stdout=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout is not None
            client = client.replace("sealwire-pin1…", serving.stdout.readline().strip()).replace("Bearer …", "Bearer x")
            wait_for(port)
            call = f"import httpx\norigin = {origin!r}\n{client.replace('client.get', 'answer = client.get')}\nprint(answer.json())"
            done = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, timeout=30)
        finally:
            serving.terminate()
    assert done.stdout == "{'id': '17', 'asked by': 'None'}\n", done.stderr


@pytest.mark.parametrize("name", ["service", "client"])
def test_neither_side_changes_more_than_five_lines(name: str) -> None:
    plain, sealed = (re.sub(r'^""".*?"""', "", (EXAMPLES / file).read_text(), count=1, flags=re.DOTALL).splitlines() for file in (f"{name}.py", f"{name}_sealed.py"))
    changes = [line for line in difflib.ndiff(plain, sealed) if line.startswith("+ ") and line.strip() != "+"]
    assert 0 < len(changes) <= 5, changes


def test_service_and_client(tmp_path: Path) -> None:
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "KEYS": str(tmp_path / "keys"), "KEYS_KEY": secrets.token_hex(32)}
    pins = []
    # A second start has the same keys.
    for _ in range(2):
        command = [sys.executable, str(EXAMPLES / "service_sealed.py"), str(port), origin]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as service:
            assert service.stdout is not None
            pins.append(service.stdout.readline().strip())
            try:
                wait_for(port)
                client = [sys.executable, str(EXAMPLES / "client_sealed.py"), origin, pins[-1]]
                assert subprocess.run(client, capture_output=True, text=True, check=True, timeout=30).stdout == "meet me at noon\n"
                # Who does not seal gets nowhere.
                plain = [sys.executable, str(EXAMPLES / "client.py"), origin]
                assert subprocess.run(plain, capture_output=True, timeout=30).returncode != 0
            finally:
                service.terminate()
    assert pins[0] == pins[1] and pins[0].startswith("sealwire-pin1")


def test_the_pair_before(tmp_path: Path) -> None:
    port = free_port()
    with subprocess.Popen([sys.executable, str(EXAMPLES / "service.py"), str(port)]) as service:
        try:
            wait_for(port)
            client = [sys.executable, str(EXAMPLES / "client.py"), f"http://127.0.0.1:{port}"]
            assert subprocess.run(client, capture_output=True, text=True, check=True, timeout=30).stdout == "meet me at noon\n"
        finally:
            service.terminate()


def test_files(tmp_path: Path) -> None:
    (tmp_path / "film").write_bytes(bytes(3_000_000))
    done = subprocess.run([sys.executable, str(EXAMPLES / "files.py"), str(tmp_path / "film")], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "3000000 bytes by alice\n16 bytes from the middle\n"


def wait_for(port: int) -> None:
    import socket
    import time

    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the service does not answer")
