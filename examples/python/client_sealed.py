"""A client of the notes service that seals its requests: `diff client.py client_sealed.py` shows what that takes.

    python client_sealed.py https://api.example.com sealwire-pin1…
"""

import sys

import httpx

from sealwire import Policy, Rule
from sealwire.httpx import SealedTransport

origin = sys.argv[1]
policy = Policy([Rule(origin, "/{rest..}", exchange=True)], {origin: sys.argv[2]})
client = httpx.Client(headers={"authorization": "Bearer of good news"}, transport=SealedTransport(policy))
client.put(f"{origin}/notes/17", content=b"meet me at noon").raise_for_status()
print(client.get(f"{origin}/notes/17").json()["text"])
