"""Web servers of a folder's files: correct ones, and ones that fail as real servers do."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Files(BaseHTTPRequestHandler):
    """Answers GET and HEAD with the files of `folder`.

    parts: whether ranges of a file are served. lists: whether folders are listed. failures: statuses to
    answer first, by the end of a path; 0 hangs, and a single 403 or 404 stays.
    """

    folder: Path
    parts = True
    lists = True
    failures: dict[str, list[int]] = {}
    asked: list[tuple[str, str, str]] = []  # method, path, range
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Logs nothing."""

    def do_HEAD(self) -> None:
        """Answers without the content."""
        self.answer(False)

    def do_GET(self) -> None:
        """Answers with the content."""
        self.answer(True)

    def answer(self, body: bool) -> None:
        """Sends a failure, a redirect, a list, a file or a part of one."""
        path = unquote(urlsplit(self.path).path)
        wanted = self.headers.get("Range", "") if self.parts else ""
        self.asked.append((self.command, path, self.headers.get("Range", "")))
        for end, statuses in self.failures.items():
            if path.endswith(end) and statuses:
                status = statuses[0] if len(statuses) == 1 and statuses[0] in (403, 404) else statuses.pop(0)
                if status == 0:
                    time.sleep(3)
                    self.close_connection = True
                    return None
                return self.send(status, b"no", {}, body)
        if path.startswith("/moved/"):
            return self.send(302, b"", {"Location": self.path.removeprefix("/moved")}, body)
        file = self.folder / path.strip("/")
        if file.is_dir():
            if not self.lists:
                return self.send(403, b"no list", {}, body)
            links = "".join(f'<a href="{p.name}">{p.name}</a>\n' for p in sorted(file.iterdir()))
            return self.send(200, links.encode(), {"Content-Type": "text/html"}, body)
        if not file.is_file():
            return self.send(404, b"none", {}, body)
        content = file.read_bytes()
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", wanted):
            first, last = int(asked[1]), int(asked[2] or len(content) - 1)
            if first >= len(content):
                return self.send(416, b"", {"Content-Range": f"bytes */{len(content)}"}, body)
            part = content[first : last + 1]
            span = f"bytes {first}-{first + len(part) - 1}/{len(content)}"
            return self.send(206, part, {"Content-Range": span, "Accept-Ranges": "bytes"}, body)
        return self.send(200, content, {"Accept-Ranges": "bytes"} if self.parts else {}, body)

    def send(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
        """Sends a response, with its content if `body`."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            try:
                self.wfile.write(content)
            except OSError:  # the reader has enough
                self.close_connection = True


@contextmanager
def serving(folder: Path, **settings: object) -> Iterator[tuple[str, type[Files]]]:
    """A running server of a folder: its address, and its handler, whose attributes are `settings`."""
    kind = type("Served", (Files,), {"folder": folder, "failures": {}, "asked": [], **settings})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.daemon_threads, server.handle_error = True, lambda *_: None  # readers go when they have enough
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", kind
    finally:
        server.shutdown()
        server.server_close()
