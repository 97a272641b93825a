"""Servers for tests: on the loopback interface alone, and of one folder alone."""

import os
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

HOST = "127.0.0.1"


class Server(ThreadingHTTPServer):
    """A thread for each connection; a thousand may wait to be accepted."""

    request_queue_size = 1024

    @property
    def url(self):
        return f"http://{HOST}:{self.server_port}"


class FolderHandler(SimpleHTTPRequestHandler):
    """Serve the regular files of a folder; all else is not found.

    All else: folders, hidden files, and every path that leads out of the folder, through links too.
    """

    def translate_path(self, path):
        return self._file(path) or str(Path(self.directory) / ".not-found")

    def _file(self, path):
        name = unquote(urlsplit(path).path).removeprefix("/")
        parts = name.split("/")
        # An empty part is a second slash; one that begins with a dot is hidden, "." or "..".
        if "\0" in name or "\\" in name or any(not part or part.startswith(".") for part in parts):
            return None
        # os.path, as pathlib raises for names that are too long and links that lead in circles.
        folder = os.path.realpath(self.directory)
        file = os.path.realpath(os.path.join(folder, *parts))  # noqa: PTH118
        return file if Path(file).is_relative_to(folder) and os.path.isfile(file) else None  # noqa: PTH113

    def log_message(self, *arguments):
        pass


@contextmanager
def serving(handler):
    """Serve with a handler for the duration of the context, on a free port."""
    with Server((HOST, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def serving_folder(folder, handler=FolderHandler):
    """Serve a folder for the duration of the context."""
    return serving(partial(handler, directory=folder))
