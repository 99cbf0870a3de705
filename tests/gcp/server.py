"""Google's hosts on this machine: a proxy that ends TLS itself, for clients that know nothing of it."""

from __future__ import annotations

import datetime
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests.gcp.cloud import Cloud, Dropped

PROJECT = "shop-lakehouse"
EMAIL = f"deployer@{PROJECT}.iam.gserviceaccount.com"


def _key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def _pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _certify(folder: Path) -> ssl.SSLContext:
    """Make an authority in ``ca.pem`` and a certificate of its for Google's hosts."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in")])
    authority, leaf = _key(), _key()
    now = datetime.datetime.now(datetime.UTC)

    def build(key: rsa.RSAPrivateKey, *, ca: bool, subject: x509.Name) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            hosts = [x509.DNSName("*.googleapis.com"), x509.DNSName("*.p.googleapis.com")]
            builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        return builder.sign(authority, hashes.SHA256())

    server = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "*.googleapis.com")])
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(build(authority, ca=True, subject=name).public_bytes(pem))
    (folder / "leaf.pem").write_bytes(build(leaf, ca=False, subject=server).public_bytes(pem) + _pem(leaf))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "leaf.pem")
    return context


def _handler(cloud: Cloud, context: ssl.SSLContext) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        host = ""

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing; the cloud keeps the log."""

        def do_CONNECT(self) -> None:
            self.host = self.path.partition(":")[0]
            self.send_response(200)
            self.end_headers()
            self.connection = context.wrap_socket(self.connection, server_side=True)
            self.rfile = self.connection.makefile("rb")
            self.wfile = self.connection.makefile("wb")
            self.close_connection = False

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            text = self.rfile.read(length).decode() if length else ""
            url = urlsplit(self.path)
            if not self.host:  # not through the proxy: a VM that asks its metadata server
                self.metadata(url.path)
                return
            try:
                status, body = cloud.request(
                    self.host,
                    self.command,
                    unquote(url.path),
                    parse_qs(url.query),
                    text,
                    self.headers.get("Authorization", ""),
                )
            except Dropped:
                self.close_connection = True
                self.connection.close()
                return
            self.say(status, json.dumps(body).encode() if body is not None else b"")

        def metadata(self, path: str) -> None:
            if self.headers.get("Metadata-Flavor") != "Google":
                self.say(403, b"")
            elif path.endswith("/token"):
                self.say(200, json.dumps({"access_token": "ya29.vm", "token_type": "Bearer"}).encode())
            else:
                self.say(200, cloud.vm_identity.encode())

        def say(self, status: int, data: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=UTF-8")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


@contextmanager
def serve(cloud: Cloud, folder: Path) -> Iterator[dict[str, str]]:
    """Serve the cloud; give the environment that leads unmodified clients there."""
    context = _certify(folder)
    account = {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "1",
        "private_key": _pem(_key(1024)).decode(),  # each module loads it: a short one, for speed
        "client_email": EMAIL,
        "client_id": "1",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    (folder / "account.json").write_text(json.dumps(account))
    server = _Server(("127.0.0.1", 0), _handler(cloud, context))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield {
            "HTTPS_PROXY": f"http://127.0.0.1:{server.server_port}",
            "NO_PROXY": "",
            "REQUESTS_CA_BUNDLE": str(folder / "ca.pem"),
            "GOOGLE_APPLICATION_CREDENTIALS": str(folder / "account.json"),
            "GCP_AUTH_KIND": "application",
        }
    finally:
        server.shutdown()
        server.server_close()
