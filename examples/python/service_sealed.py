"""A notes service that takes sealed requests: `diff service.py service_sealed.py` shows what that takes.

    python service_sealed.py 8080 https://api.example.com
"""

import sys

import uvicorn
from fastapi import FastAPI, HTTPException, Request

from sealwire_keys import service_keys
from sealwire.asgi import SealwireMiddleware

app = FastAPI()
app.add_middleware(SealwireMiddleware, origin=sys.argv[2], **service_keys("keys"))
notes: dict[str, str] = {}


@app.put("/notes/{id}", status_code=204)
async def put(id: str, request: Request) -> None:
    notes[id] = (await request.body()).decode()


@app.get("/notes/{id}")
async def get(id: str) -> dict[str, str]:
    if id not in notes:
        raise HTTPException(404)
    return {"text": notes[id]}


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
