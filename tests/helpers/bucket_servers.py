"""Google Cloud Storage and S3 on 127.0.0.1, behind a proxy that can make them fail.

The servers run in threads of the test's process. Subprocesses reach them too, by the variables in
`Servers.environment`.
"""

import collections
import contextlib
import datetime
import functools
import http.client
import http.server
import json
import logging
import os
import socket
import struct
import threading
import time
import urllib.parse
from collections.abc import Iterator

BUCKET = "strata-test"


class Proxy:
    """Forwards HTTP to a server on 127.0.0.1, with faults.

    `faults` are taken one per request: an HTTP status, "reset" (the connection breaks), or seconds
    to wait before the request is forwarded. `down` answers 503 to everything, and `requests` counts
    what arrived by method. It also refuses to create an object that exists (ifGenerationMatch=0),
    as Google's server does and the emulator does not.
    """

    def __init__(self, port: int):
        self.faults: collections.deque[int | str | float] = collections.deque()
        self.down = False
        self.requests: collections.Counter[str] = collections.Counter()
        self.creating = threading.Lock()
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # or each answer on an open connection takes 40 ms

            def handle_one_request(self):
                with contextlib.suppress(ConnectionError, TimeoutError):
                    super().handle_one_request()

            def log_message(self, *arguments):
                pass

            def forward(self):
                body = _body(self)
                proxy.requests[self.command] += 1
                fault = 503 if proxy.down else proxy.faults.popleft() if proxy.faults else None
                if fault == "reset":
                    option = struct.pack("ii", 1, 0)  # closing sends RST
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
                    self.close_connection = True
                    self.connection.close()
                    return
                if isinstance(fault, int):
                    self.answer(fault, [], b'{"error": {"message": "injected"}}')
                    return
                if isinstance(fault, float):
                    time.sleep(fault)
                query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
                if query.get("ifGenerationMatch") == ["0"]:
                    with proxy.creating:
                        if _exists(port, self.path, query, body):
                            self.answer(412, [], b'{"error": {"message": "exists"}}')
                            return
                        self.answer(*_ask(port, self.command, self.path, body, self.headers))
                    return
                self.answer(*_ask(port, self.command, self.path, body, self.headers))

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = forward

            def answer(self, status: int, headers: list[tuple[str, str]], body: bytes):
                self.send_response_only(status)
                length = str(len(body))
                for name, value in headers:
                    if name.lower() == "content-length":
                        length = value  # HEAD has it without a body
                    elif name.lower() not in ("transfer-encoding", "connection"):
                        self.send_header(name, value)
                self.send_header("Content-Length", length)
                self.end_headers()
                if self.command != "HEAD":  # a body there would be read as the next answer
                    self.wfile.write(body)

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()


class Servers:
    """Both servers with a bucket each; gs:// and s3:// URLs of `BUCKET` work meanwhile."""

    def __init__(self):
        from gcp_storage_emulator.server import create_server
        from moto.server import ThreadedMotoServer

        for name in (
            "gcp_storage_emulator",
            "gcp_storage_emulator.storage",
            "werkzeug",
            "botocore",
        ):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        _adapt_the_emulator()
        port = _free_port()
        self._gcs = create_server("127.0.0.1", port, in_memory=True, default_bucket=BUCKET)
        self._gcs.start()
        self._s3 = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
        self._s3.start()
        self.proxies = {"gs": Proxy(port), "s3": Proxy(self._s3.get_host_and_port()[1])}
        _ask(self._s3.get_host_and_port()[1], "PUT", f"/{BUCKET}", b"", {})
        self.environment = {
            "STORAGE_EMULATOR_HOST": self.proxies["gs"].url,
            "TENSORSTORE_GCS_HTTP_URL": self.proxies["gs"].url,
            "AWS_ENDPOINT_URL": self.proxies["s3"].url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def close(self):
        for proxy in self.proxies.values():
            proxy.close()
        self._gcs.stop()
        self._s3.stop()


@contextlib.contextmanager
def running() -> Iterator[Servers]:
    """Run both servers, with this process's environment set for them."""
    servers = Servers()
    before = dict(os.environ)
    os.environ.update(servers.environment)
    try:
        yield servers
    finally:
        os.environ.clear()
        os.environ.update(before)
        servers.close()


@functools.cache
def _adapt_the_emulator() -> None:
    r"""Send an object's generation with its content, by which TensorStore sees changes.

    Also, keep no index of all objects on disk: the emulator writes it anew at every change. Give an
    object a new time when its metadata change. And read gcsfs's uploads byte for byte: gcsfs ends a
    part with "\n", and the emulator's parser of mails takes "\r\n" away from content that ends in
    "\r".
    """
    from gcp_storage_emulator import server
    from gcp_storage_emulator.exceptions import NotFound
    from gcp_storage_emulator.handlers import objects
    from gcp_storage_emulator.storage import Storage

    Storage._write_config_to_file = lambda self: None
    download = objects.download

    def with_generation(request, response, storage, *arguments, **options):
        with contextlib.suppress(NotFound):
            place = request.params["bucket_name"], request.params["object_id"]
            response["x-goog-generation"] = storage.get_file_obj(*place)["generation"]
        return download(request, response, storage, *arguments, **options)

    objects.download = with_generation
    change = objects._patch

    def with_time(storage, bucket_name, object_id, metadata):
        if found := change(storage, bucket_name, object_id, metadata):
            now = datetime.datetime.now(datetime.UTC)
            found["updated"] = f"{now:%Y-%m-%dT%H:%M:%S.%fZ}"
            storage.patch_object(bucket_name, object_id, found)
        return found

    objects._patch = with_time

    parse = server._read_data

    def exactly(request, query):
        if not request.headers.get("Content-Type", "").startswith("multipart/related"):
            return parse(request, query)
        boundary, _, parts = server._read_raw_data(request).partition(b"\n")
        metadata, _, part = parts.partition(b"\n" + boundary + b"\n")
        header, _, content = part.partition(b"\n\n")
        content, _, end = content.rpartition(b"\n" + boundary)
        assert end == b"--", end
        return {
            "meta": json.loads(metadata.partition(b"\n\n")[2]),
            "content": content,
            "content-type": header.decode().partition("Content-Type:")[2].strip(),
        }

    server._read_data = exactly


def _body(request: http.server.BaseHTTPRequestHandler) -> bytes:
    if "chunked" in request.headers.get("Transfer-Encoding", ""):
        parts = []
        while size := int(request.rfile.readline().split(b";")[0], 16):
            parts.append(request.rfile.read(size))
            request.rfile.readline()
        request.rfile.readline()
        return b"".join(parts)
    return request.rfile.read(int(request.headers.get("Content-Length") or 0))


def _ask(port: int, method: str, path: str, body: bytes, headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    kept = {
        name: value
        for name, value in headers.items()
        if name.lower() not in ("transfer-encoding", "content-length", "connection")
    }
    connection.request(method, path, body, kept | {"Content-Length": str(len(body))})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.getheaders(), content


def _exists(port: int, path: str, query: dict, body: bytes) -> bool:
    bucket = urllib.parse.urlsplit(path).path.partition("/b/")[2].partition("/")[0]
    name = query.get("name", [""])[0]
    if not name:  # in the metadata part of a multipart upload
        start = body.find(b"{")
        name = json.JSONDecoder().raw_decode(body[start:].decode("latin-1"))[0]["name"]
    quoted = urllib.parse.quote(name, safe="")
    return _ask(port, "GET", f"/storage/v1/b/{bucket}/o/{quoted}", b"", {})[0] == 200


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
