"""A load generator: ``python -m bench.load PORT PATH BODIES CONNECTIONS SECONDS`` prints answers of 200 a second.

Bare sockets in one thread, each connection one request at a time, so that it costs far less than what it measures.
"""

from __future__ import annotations

import selectors
import socket
import sys
import time
from pathlib import Path

from bench.servers import WRITE


def requests(path: str, told: bytes) -> list[bytes]:
    import base64

    key = base64.b64encode(f"{WRITE}:".encode()).decode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 "
        f"(KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36\r\nContent-Type: text/plain\r\nAuthorization: Basic {key}"
        "\r\nAccept: */*\r\nOrigin: https://shop.example\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
    )
    found, at = [], 0
    while at < len(told):
        size = int.from_bytes(told[at : at + 4], "big")
        body = told[at + 4 : at + 4 + size]
        found.append(f"{head}Content-Length: {size}\r\n\r\n".encode() + body)
        at += 4 + size
    return found


def main(port: int, path: str, bodies: Path, connections: int, seconds: float) -> None:
    texts = requests(path, bodies.read_bytes())
    select = selectors.DefaultSelector()
    for number in range(connections):
        one = socket.create_connection(("127.0.0.1", port))
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        select.register(one, selectors.EVENT_READ)
        one.sendall(texts[number % len(texts)])
    done, following = 0, connections
    began = time.perf_counter()
    until = began + seconds
    while time.perf_counter() < until:
        for key, _ in select.select(1):
            answer = key.fileobj.recv(65_536)  # type: ignore[union-attr]
            if not answer.startswith(b"HTTP/1.1 200"):
                sys.exit(f"answered {answer[:600]!r}")
            while not answer.endswith(b"}"):  # head and body may come apart
                answer += key.fileobj.recv(65_536)  # type: ignore[union-attr]
            done += 1
            key.fileobj.sendall(texts[following % len(texts)])  # type: ignore[union-attr]
            following += 1
    print(done / (time.perf_counter() - began))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
