"""Whether the gateway's port is free."""

import errno
import socket

from steeple_cli.doctoring.finding import Finding, ok, warn


def look_at_port(host: str, port: int) -> Finding:
    """Try to take the port that `steeple serve` would."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as taken:
        # As servers do: one that has just ended is no hindrance.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                remedy = f"pass another --port, or look: steeple doctor --target {host}:{port}"
                return warn("port", f"{host}:{port} is in use", remedy)
            told = f"{host}:{port} cannot be taken: {error.strerror}"
            return warn("port", told, "pass another --host or --port")
    return ok("port", f"{host}:{port} is free", port=port)
