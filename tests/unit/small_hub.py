"""A model hub of one repository on this machine, for the real client of the hub."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COMMIT = "1" * 40


@contextmanager
def serving(repository: str, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield (address, paths that were asked for); every other repository is unknown."""
    asked: list[str] = []

    class Hub(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            asked.append(self.path)
            name = self.path.removeprefix(f"/{repository}/resolve/{COMMIT}/")
            if self.path.startswith(f"/api/models/{repository}/tree/"):
                self._send(json.dumps([entry(path) for path in sorted(folder.iterdir())]).encode())
            elif self.path.startswith(f"/api/models/{repository}/"):
                self._send(json.dumps({"id": repository, "sha": COMMIT, "siblings": []}).encode())
            elif name != self.path and (folder / name).is_file():
                self._send((folder / name).read_bytes())
            else:
                self._send(b"", 404)

        def _send(self, content: bytes, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            if status == 404:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def entry(path: Path) -> dict[str, object]:
    return {"type": "file", "path": path.name, "oid": "0" * 40, "size": path.stat().st_size}


def find_model_from(address: str, cache: Path, spec: str) -> str:
    """What another process prints that looks for a BLIP model ``spec`` on the hub at ``address``: its folder, or the
    error."""
    script = (
        "import sys\nfrom regionzoo.captions.models.files import find_model\nfrom regionzoo.errors import UserError\n"
        "try:\n    found = find_model(sys.argv[1], 'blip', 'blip')\n    print(found.folder, found.name)\n"
        "except UserError as error:\n    print(error)"
    )
    environment = os.environ | {"HF_ENDPOINT": address, "HF_HOME": str(cache), "HF_HUB_OFFLINE": "0"}
    environment |= {"HF_HUB_DISABLE_XET": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", script, spec], env=environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()
