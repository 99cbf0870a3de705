"""Stand-in for a service account: its metadata server, and a store that lets only its tokens in.

Runs on a node, on loopback, until its standard input is closed: `service_account.py STORE`. It prints the
port, and at the end what happened. Tokens are given as Google documents it (Compute Engine, "Authenticate
workloads to Google Cloud APIs using service accounts"): asked for with the header `Metadata-Flavor: Google`,
answered with the same header. All else goes on to STORE if it carries a token that was given here, and is
refused with 401 if not.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

ACCOUNT = "/computeMetadata/v1/instance/service-accounts/default/"
FLAVOR = ("Metadata-Flavor", "Google")
OF_ONE_HOP = {"connection", "transfer-encoding", "content-length"}
SECONDS = 240
"""A token's life. Google's clients renew one that has less than 225 s to go."""

given: set[str] = set()
tally = {"tokens": 0, "admitted": 0, "refused": 0}
lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    """Answers as the metadata server or passes a request on to the store."""

    protocol_version = "HTTP/1.1"
    store = ""

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""

    def answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        """Send an answer."""
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def count(self, what: str) -> None:
        """Remember what happened."""
        with lock:
            tally[what] += 1

    def handle_any(self) -> None:
        """Answer one request."""
        body = self.body()
        if self.path.startswith("/computeMetadata/"):
            self.metadata()
        elif self.headers.get("Authorization", "").removeprefix("Bearer ") in given:
            self.count("admitted")
            self.forward(body)
        else:
            self.count("refused")
            self.answer(401, b'{"error": {"code": 401, "message": "Invalid Credentials"}}')

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    def body(self) -> bytes:
        """Read what was sent, in one piece or in chunks."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def metadata(self) -> None:
        """Give a token to who asks as Google's clients do."""
        if self.headers.get(FLAVOR[0]) != FLAVOR[1]:
            self.answer(403, b"Missing Metadata-Flavor header")
        elif self.path.partition("?")[0] == ACCOUNT + "token":
            token = uuid.uuid4().hex
            given.add(token)
            self.count("tokens")
            said = {"access_token": token, "expires_in": SECONDS, "token_type": "Bearer"}
            self.answer(200, json.dumps(said).encode(), FLAVOR, ("Content-Type", "application/json"))
        else:
            self.answer(404, b"", FLAVOR)

    def forward(self, body: bytes) -> None:
        """Ask the store, and give its answer as one's own, the places of uploads included."""
        drop = {"host", "authorization", *OF_ONE_HOP}
        headers = {name: value for name, value in self.headers.items() if name.lower() not in drop}
        connection = http.client.HTTPConnection(urlsplit(self.store).netloc, timeout=60)
        try:
            connection.request(self.command, self.path, body, headers)
            told = connection.getresponse()
            self.answer(
                told.status,
                told.read(),
                *(
                    (name, value.replace(self.store, f"http://{self.headers['Host']}"))
                    for name, value in told.getheaders()
                    if name.lower() not in OF_ONE_HOP
                ),
            )
        finally:
            connection.close()


def main() -> None:
    """Serve until nobody listens any more."""
    Handler.store = sys.argv[1]
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()
    print(json.dumps(tally), flush=True)


if __name__ == "__main__":
    main()
