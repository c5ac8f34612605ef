"""Answers every request with the name of the container that it runs in. Needs nothing but Python."""

import json
import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 8090


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        answer = {
            "error_code": "0",
            "error_message": None,
            "data": f"Hello Kubernetes this is Container ID(With Python) is {socket.gethostname()}",
        }
        body = json.dumps(answer, separators=(",", ":")).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # the first process of a container has no default handlers
print(f"server is running at http://127.0.0.1:{PORT}", flush=True)
ThreadingHTTPServer(("", PORT), Hello).serve_forever()
