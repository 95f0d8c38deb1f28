"""A notes service, as it was before Sealwire: `diff service.py service_sealed.py` shows what sealing it takes.

    python service.py 8080
"""

import sys

import uvicorn
from fastapi import FastAPI, HTTPException, Request

app = FastAPI()
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
