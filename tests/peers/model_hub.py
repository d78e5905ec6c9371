"""A publisher's file server on loopback: ranges, versions, redirects with a checksum in them, and faults."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Hub:
    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    """By path. Below `/hub/` a file is a redirect to its content and names its SHA-256, as model hubs do."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """(path, Range header) of every request."""
    breaks_after: int | None = None
    """Bytes of an answer after which the connection is closed, once."""
    lies: bool = False
    """Name a checksum that is wrong."""
    fails: int = 0
    """Status of every answer."""


@contextmanager
def serving() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.close_connection = True
            hub.asked.append((self.path, self.headers.get("Range", "")))
            content = hub.files.get(self.path.removeprefix("/hub").removeprefix("/content"))
            if hub.fails or content is None:
                self.send_response(hub.fails or 404)
                self.end_headers()
                return
            if self.path.startswith("/hub"):
                digest = hashlib.sha256(b"another" if hub.lies else content).hexdigest()
                self.send_response(302)
                self.send_header("X-Linked-Etag", f'"{digest}"')
                self.send_header("Location", "/content" + self.path.removeprefix("/hub"))
                self.end_headers()
                return
            self._content(content)

        def _content(self, content: bytes) -> None:
            version = f'"{hashlib.md5(content).hexdigest()}"'
            start = 0
            if self.headers.get("If-Range") == version:
                start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("ETag", version)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            stop = len(content)
            if hub.breaks_after is not None:
                stop, hub.breaks_after = start + hub.breaks_after, None
            self.wfile.write(content[start:stop])

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
