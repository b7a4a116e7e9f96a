"""A server of weights on this machine, which can be as bad as servers are."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class ModelServer(ThreadingHTTPServer):
    """Serves one body under every path, and remembers what it was asked for.

    Attributes:
        body: What it sends.
        promised: Content-Length; None for none. When larger than the body, the connection breaks off.
        status: HTTP status.
        asked: Request lines so far.
    """

    daemon_threads = True

    def __init__(self, body: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.body, self.status, self.asked = body, 200, []
        self.promised: int | None = len(body)
        self.scheme = "http"

    @property
    def address(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: ModelServer

    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_response(self.server.status)
        if self.server.promised is not None:
            self.send_header("Content-Length", str(self.server.promised))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(self.server.body)

    def log_message(self, *_):
        return


@contextlib.contextmanager
def serving(body: bytes, *, certificate: Path | None = None) -> Iterator[ModelServer]:
    """Serve until the block ends; over TLS with a certificate and its key in one PEM file."""
    with ModelServer(body) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            server.scheme = "https"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
