"""Makes the seed corpora from the test vectors: tests/fuzz/seed.py. One file per case, named like the case."""

import base64
import json
import pathlib

here = pathlib.Path(__file__).parent
vectors = here.parent / "vectors" / "envelope"
for path in sorted(vectors.glob("*.json")):
    case = json.loads(path.read_text())
    operation = case["operation"]
    if operation == "open":
        text = case["envelope"]
        seed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        targets = ["header", "open", "rewrap"]
    else:
        seed = case["text"].encode()
        targets = ["text"] if operation == "text" else ["keys"]
    if len(seed) > 2500:
        continue
    for target in targets:
        folder = here / "corpus" / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / path.stem).write_bytes(seed)
