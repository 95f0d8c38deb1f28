"""A client of the notes service, as it was before Sealwire: `diff client.py client_sealed.py` shows what sealing it takes.

    python client.py https://api.example.com
"""

import sys

import httpx

origin = sys.argv[1]
client = httpx.Client(headers={"authorization": "Bearer of good news"})
client.put(f"{origin}/notes/17", content=b"meet me at noon").raise_for_status()
print(client.get(f"{origin}/notes/17").json()["text"])
