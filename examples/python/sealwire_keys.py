"""The keys of the notes service, in a folder whose files are sealed with the key of KEYS_KEY: from your secret manager."""

import os
from typing import TypedDict

from sealwire import FileStore, Identity, SymmetricKey
from sealwire.asgi import ServiceKeys


class Keys(TypedDict):
    keys: ServiceKeys
    identity: Identity


def service_keys(folder: str) -> Keys:
    """Those that are there, or new ones. Prints the pin that clients carry. Once a day one process calls `keys.rotate()` and saves."""
    store = FileStore(os.environ.get("KEYS", folder), key=SymmetricKey.from_bytes(bytes.fromhex(os.environ["KEYS_KEY"])))
    identity = Identity.load(store, "identity") or Identity.generate()
    identity.save(store, "identity")
    keys = ServiceKeys.load(store, "keys") or ServiceKeys.generate()
    keys.save(store, "keys")
    print(identity.recipient.pin, flush=True)
    return {"keys": keys, "identity": identity}
