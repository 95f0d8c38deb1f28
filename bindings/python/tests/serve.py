"""An app behind the middleware, for other languages' tests: prints {"origin", "pin"}, and serves until its standard input ends."""

from __future__ import annotations

import json
import sys

from loopback import Service
from sealwire import Identity, Kem

service = Service(Identity.generate(kem=Kem.X25519), verify=None, signed_only=[])
with service.running():
    print(json.dumps({"origin": service.origin, "pin": str(service.pin)}), flush=True)
    sys.stdin.read()
