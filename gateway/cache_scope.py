"""Whose cached prefixes a request may share. Pure.

Callers who are known share nothing with each other, whatever salts they choose: how fast an answer
begins would tell one what another has asked.
"""

import hashlib

from steeple_rpc.principal import Principal


def cache_scope(principal: Principal, salt: str | None) -> str | None:
    """The salt that the engine gets; None = the prefixes that everybody shares.

    Args:
        principal: who asks.
        salt: the caller's own, not empty; None where it wants none.
    """
    if salt is None and not principal.is_known:
        return None
    digest = hashlib.sha256()
    for part in (principal.name.encode(), (salt or "").encode()):
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.hexdigest()
