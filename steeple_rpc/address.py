"""Where a service listens or is found: HOST:PORT, or unix:PATH."""

import ipaddress

from steeple_rpc.errors import InvalidRequest

UNIX = "unix:"
MAX_PORT = 65_535


def is_local(address: str) -> bool:
    """Whether only this machine can reach `address`.

    Raises:
        InvalidRequest: it is neither HOST:PORT nor unix:PATH.
    """
    if address.startswith(UNIX) and address != UNIX:
        return True
    host = host_of(address)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_of(address: str) -> str:
    """The host of HOST:PORT, without the brackets of IPv6.

    Raises:
        InvalidRequest: there is no port, or none that exists.
    """
    host, colon, port = address.rpartition(":")
    # grpc takes a port beyond the range, and serves another one.
    is_number = port.isascii() and port.isdecimal() and len(port) <= len(str(MAX_PORT))
    if not colon or not is_number or int(port) > MAX_PORT:
        raise InvalidRequest(f"address {address!r} is neither HOST:PORT nor unix:PATH")
    return host.removeprefix("[").removesuffix("]")
