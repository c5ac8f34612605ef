"""An index for ``pip install Flask`` on this machine alone, as big as the tutorial's app needs it."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.support.wheels import write_index

FLASK = '''
"""As much of Flask as an app of one route uses."""

import http.server


class Response:
    def __init__(self, text, mimetype):
        self.text, self.mimetype = text, mimetype


class Flask:
    def __init__(self, name):
        self.routes = {}

    def route(self, path, methods):
        return lambda handler: self.routes.setdefault(path, handler)

    def run(self, host, port, debug=False):
        routes = self.routes

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                answer = routes[self.path]()
                self.send_response(200)
                self.send_header("Content-Type", answer.mimetype)
                self.end_headers()
                self.wfile.write(answer.text.encode())

        http.server.ThreadingHTTPServer((host, port), Handler).serve_forever()
'''


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@contextmanager
def serving(folder: Path) -> Generator[str]:
    """Serve an index on a loopback port; gives the lines of a Dockerfile that make pip use it."""
    write_index(folder, ("Flask", "1.0", FLASK))
    (folder / "pip").mkdir()
    (folder / "pip" / "index.html").write_text("<!DOCTYPE html>\n")  # no other version than the one that is there
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/"
            yield f"ENV PIP_INDEX_URL={url} PIP_CONFIG_FILE=/dev/null NO_PROXY=127.0.0.1 no_proxy=127.0.0.1\n"
        finally:
            server.shutdown()
            thread.join()
