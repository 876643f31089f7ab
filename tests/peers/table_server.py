"""A socketmap or tcp_table server on a local socket: table_server.py socketmap|tcp SOCKET KEY VALUE"""

import socketserver
import sys

kind, path, known, value = sys.argv[1:]


def find(key):
    """What this server says of a key, or None."""
    if key == "temp@example.com":
        raise TimeoutError("try later")
    return {known: value, "space@example.com": "a b%c"}.get(key)


class Socketmap(socketserver.StreamRequestHandler):
    """Netstrings (postfix socketmap_table(5))."""

    def handle(self):
        while True:
            length = b""
            while not length.endswith(b":"):
                byte = self.rfile.read(1)
                if not byte:
                    return
                length += byte
            name, _, key = self.rfile.read(int(length[:-1])).decode().partition(" ")
            self.rfile.read(1)
            reply = "NOTFOUND "
            try:
                found = find(key)
                if name != "map":
                    reply = "PERM no such map"
                elif found is not None:
                    reply = "OK " + found
            except TimeoutError as why:
                reply = f"TEMP {why}"
            self.wfile.write(f"{len(reply)}:{reply},".encode())


class Tcp(socketserver.StreamRequestHandler):
    """Lines (postfix tcp_table(5))."""

    def handle(self):
        for line in self.rfile:
            key = line.decode().removeprefix("get ").rstrip("\n")
            try:
                found = find(key)
                reply = "500 not%20found" if found is None else "200 " + quote(found)
            except TimeoutError as why:
                reply = "400 " + quote(str(why))
            self.wfile.write(f"{reply}\n".encode())


def quote(text):
    return text.replace("%", "%25").replace(" ", "%20")


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


Server(path, Socketmap if kind == "socketmap" else Tcp).serve_forever()
