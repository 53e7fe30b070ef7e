"""The servers that the benchmarks talk to."""

import contextlib
import http.server
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/support"))
from servers import ACCESS_KEY, REGION, SECRET_KEY, die_with_parent, free_ports  # noqa: E402
from servers import http as request  # noqa: E402

CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_REGION": REGION}
# Azurite's well-known key.
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

# It serves files with sendfile and ignores signatures. What S3 needs beside files: an ETag of puts, and
# answers to the two requests that begin and end a multipart upload; parts become files of their own.
NGINX = """
daemon off; worker_processes 2; pid {folder}/nginx.pid; error_log {folder}/nginx.log; user root;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 100000000; keepalive_timeout 600s;
  client_max_body_size 0; client_body_buffer_size 1m; client_body_temp_path {folder}/body; proxy_temp_path {folder}/p;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  default_type application/octet-stream; etag on; root {folder}/objects;
  ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key;
  server {{
    listen 127.0.0.1:{port} reuseport; listen 127.0.0.1:{tls_port} ssl reuseport;
    open_file_cache max=15000 inactive=1h; open_file_cache_valid 1h;
    location ~ ^/bench/?$ {{ root {folder}; default_type application/xml; rewrite ^ /lists/$arg_prefix.xml break; }}
  }}
  server {{
    listen 127.0.0.1:{put_port} reuseport;
    location / {{
      set $stored ""; if ($request_method = PUT) {{ set $stored '"d41d8cd98f00b204e9800998ecf8427e"'; }}
      add_header ETag $stored;
      if ($request_method = POST) {{ rewrite ^ /upload last; }}
      if ($arg_partNumber) {{ rewrite ^(.*)$ $1.part$arg_partNumber break; }}
      dav_methods PUT DELETE; create_full_put_path on;
    }}
    location = /upload {{
      internal; default_type application/xml;
      if ($arg_uploadId) {{
        return 200 '<CompleteMultipartUploadResult><ETag>"d41d8cd98f00b204e9800998ecf8427e-1"</ETag></CompleteMultipartUploadResult>';
      }}
      return 200 '<InitiateMultipartUploadResult><UploadId>upload</UploadId></InitiateMultipartUploadResult>';
    }}
  }}
}}
"""


class Unusable(Exception):
    """What is missing, and what to do about it."""


def need(command: str, package: str) -> str:
    found = shutil.which(command) or shutil.which(command, path="/usr/sbin:/sbin")
    if not found:
        raise Unusable(f"{command} is missing; on Debian: apt-get install --no-install-recommends {package}")
    return found


def certificates(folder: Path) -> Path:
    """An authority of our own and a certificate of 127.0.0.1 by it; gives the authority's file."""
    openssl = need("openssl", "openssl")

    def run(*arguments):
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)

    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    run("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-days", "30", "-subj", "/CN=benchmark authority")
    run("req", *new, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=127.0.0.1")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    run("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-out", "server.pem", "-days", "30", "-extfile", "names")
    return folder / "ca.pem"


class Nginx:
    """Objects are files below `folder/objects`; a path is /BUCKET/KEY."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.objects = folder / "objects"
        self.objects.mkdir()
        (folder / "lists").mkdir()
        self.authority = certificates(folder)
        self.port, self.tls_port, self.put_port = free_ports(3)
        (folder / "nginx.conf").write_text(
            NGINX.format(folder=folder, port=self.port, tls_port=self.tls_port, put_port=self.put_port))
        command = [need("nginx", "nginx-light"), "-p", str(folder), "-c", str(folder / "nginx.conf"),
                   "-e", str(folder / "nginx.log")]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=die_with_parent)
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.put_port), 1):
                return
            if self.process.poll() is not None:
                raise Unusable(f"nginx ended: {self.process.stderr.read().decode()}")
            if time.monotonic() > deadline:
                self.stop()
                raise Unusable(f"nginx does not serve; its log is {folder}/nginx.log")
            time.sleep(0.05)

    def list(self, prefix: str, count: int, size: int):
        """What a listing of the objects PREFIX/0 .. says: all in one page."""
        entries = "".join(
            f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>&quot;{size:032x}&quot;</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for key in sorted(f"{prefix}/{index}" for index in range(count)))
        (self.folder / "lists" / f"{prefix}%2F.xml").write_text(
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>bench</Name><Prefix>{prefix}/</Prefix><KeyCount>{count}</KeyCount><MaxKeys>{count}</MaxKeys>"
            f"<IsTruncated>false</IsTruncated>{entries}</ListBucketResult>")

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Program:
    """A server that prints NAME=VALUE when it serves, and ends when its stdin is closed."""

    def __init__(self, command: list):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
        self.values = {}
        for pair in self.process.stdout.readline().split():
            name, _, value = pair.partition("=")
            self.values[name] = value
        if not self.values:
            raise Unusable(f"{' '.join(map(str, command))} did not start")

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def faultd(binary: Path) -> Program:
    """S3 whose latency can be set."""
    return Program([str(binary), "--s3", "127.0.0.1:0"])


class Listed:
    """S3 with the objects PREFIX/0 .. PREFIX/COUNT-1 of one size, of which nothing is stored: pages of 1,000 keys are made
    up as they are asked for."""

    def __init__(self, count: int, size: int):
        outer, body = self, b"x" * size

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                url = urllib.parse.urlsplit(self.path)
                query = dict(urllib.parse.parse_qsl(url.query))
                payload = outer.page(query).encode() if "list-type" in query else body
                self.send_response(200)
                self.send_header("ETag", '"x"')
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, *_):
                pass

        self.count, self.size = count, size
        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 1024  # many connect at once

        self.server = Server(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def page(self, query: dict) -> str:
        start = int(query.get("continuation-token", 0))
        end = min(start + 1000, self.count)
        prefix = query.get("prefix", "")
        entries = "".join(
            f"<Contents><Key>{prefix}{index:08}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>&quot;x&quot;</ETag><Size>{self.size}</Size></Contents>" for index in range(start, end))
        more = f"<NextContinuationToken>{end}</NextContinuationToken>" if end < self.count else ""
        return ('<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
                f"<Name>bench</Name><Prefix>{prefix}</Prefix><KeyCount>{end - start}</KeyCount><MaxKeys>1000</MaxKeys>"
                f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>{more}{entries}</ListBucketResult>")

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def real(name: str) -> Program:
    """A real server of the tests: `seaweed` or `azurite`."""
    return Program([sys.executable, str(ROOT / "tests/support/servers.py"), "serve", "--only", name])


def clean_environment() -> dict:
    """The environment without what would lead clients elsewhere."""
    away = ("AWS_", "AZURE_", "S3DLIO_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(away) and "proxy" not in name.lower()}
    return {**kept, **CREDENTIALS}
