#!/usr/bin/env python3
"""scripts/serve_web.py [PORT]: serves web/dist on 127.0.0.1, with no header that any plain server does not send."""
import functools
import http.server
import os
import sys

port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
dist = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "web", "dist")


class Handler(http.server.SimpleHTTPRequestHandler):
    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".wasm": "application/wasm",
                      ".js": "text/javascript"}

    def log_message(self, *_):
        pass


try:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), functools.partial(Handler, directory=dist))
except OSError as error:
    sys.exit(f"port {port}: {error.strerror} (make web-demo PORT=8080)")
print(f"http://127.0.0.1:{port}/demo/ (Ctrl+C stops)", flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    print()
