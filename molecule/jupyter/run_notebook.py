# ruff: noqa: S310  the server is the caller's
"""Runs a notebook on a Jupyter server, as the browser does, and prints what its cells print.

Usage: JUPYTER_TOKEN=… run_notebook.py http://host:port notebook.ipynb
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import websocket


def main(url: str, notebook: str) -> None:
    """Start a kernel on the server, run the code cells one after the other, and end the kernel."""
    headers = {"Authorization": f"token {os.environ['JUPYTER_TOKEN']}", "Content-Type": "application/json"}
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    with urlopen(Request(f"{url}/api/kernels", b"{}", headers), timeout=60) as answer:
        kernel = f"{url}/api/kernels/{json.load(answer)['id']}"
    try:
        place = kernel.replace("http:", "ws:", 1) + "/channels"
        channels = websocket.create_connection(
            place, timeout=240, header=[f"Authorization: {headers['Authorization']}"]
        )
        for cell in cells:
            if cell["cell_type"] == "code":
                run(channels, "".join(cell["source"]))
    finally:
        urlopen(Request(kernel, headers=headers, method="DELETE"), timeout=60).close()


def run(channels: Any, source: str) -> None:
    """Run a cell until the kernel is idle again. What the cell raises ends the program."""
    identity = uuid.uuid4().hex
    header = {"msg_id": identity, "msg_type": "execute_request", "session": identity, "version": "5.3"}
    content = {"code": source, "silent": False, "store_history": True, "allow_stdin": False}
    channels.send(
        json.dumps(
            {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": content}
        )
    )
    while True:
        message = json.loads(channels.recv())
        if message["parent_header"].get("msg_id") != identity:
            continue
        kind, said = message["header"]["msg_type"], message["content"]
        if kind == "stream" and said["name"] == "stdout":
            print(said["text"], end="")
        elif kind == "error":
            sys.exit("\n".join(said["traceback"]))
        elif kind == "status" and said["execution_state"] == "idle":
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
