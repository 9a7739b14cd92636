"""What to do about a call that failed, by what it failed with."""

from collections.abc import Mapping

from steeple_rpc.errors import (
    DeadlineExpired,
    Overloaded,
    PermissionDenied,
    ServiceError,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from steeple_rpc.status import code_of

_LOG = "look into the log of the service"
_BY_REASON: Mapping[str, str] = {
    "TOKENIZER_NOT_READY": "look whether the tokenizer service runs, and where the gateway looks"
    " for it (--tokenizer)",
    "ENGINE_NOT_READY": "look whether the engine service runs or still loads, and where the"
    " gateway looks for it (--engine)",
    "UPSTREAM_MISMATCH": "start tokenizer service and engine service on the same model directory",
    "TOKEN_MISSING": "pass --token-file or STEEPLE_TOKEN",
    "TOKEN_EXPIRED": "ask whoever runs it for a new token (steeple token new)",
    "TOKEN_INVALID": "pass a token whose hash is in the gateway's --token-hashes",
    "DRAINING": "it ends: start it again, or ask another gateway",
    "MODEL_NOT_FOUND": "steeple models lists what is served",
    "NOT_READY": "ask what hinders it: steeple doctor --target",
}
# What grpc tells of a handshake that failed, in any of its words.
_HANDSHAKE = ("handshake", "ssl", "tls", "certificate")
_PLAINTEXT = "wrong_version_number"
_KINDS: Mapping[type[ServiceError], str] = {
    Unauthenticated: "pass --token-file or STEEPLE_TOKEN, or --tls-cert and --tls-key",
    PermissionDenied: "ask whoever runs it for a token that may do this",
    Unsupported: "it is older than this command, or no gateway of Steeple: look at --target",
    DeadlineExpired: "it hangs or is far too busy: look at steeple top and at its log",
    Overloaded: "it is busy: try again, or add engines",
}


def remedy_for(error: ServiceError) -> str:
    """What to do about a failed call."""
    if error.reason in _BY_REASON:
        return _BY_REASON[error.reason]
    if isinstance(error, Unavailable):
        return _unreachable(error.message.lower())
    return _KINDS.get(type(error), _LOG)


def told_with_remedy(error: ServiceError) -> str:
    """One line for who called: what failed, and what may help where the message does not say."""
    kind = code_of(error).name
    is_named = error.reason != kind
    told = f"{kind} {error.reason}: {error.message}" if is_named else f"{kind}: {error.message}"
    if is_named and error.reason not in _BY_REASON:
        return told
    return f"{told} → {remedy_for(error)}"


def remedy_of_reason(reason: str) -> str:
    """What to do about a model that cannot be served."""
    return _BY_REASON.get(reason, _LOG)


def _unreachable(message: str) -> str:
    if _PLAINTEXT in message:
        return "it speaks plaintext: drop --tls, --tls-ca and --tls-cert"
    if any(word in message for word in _HANDSHAKE):
        return "it does not trust us, or we not it: pass --tls-ca, and a --target that it names"
    if "closed" in message or "reset" in message:
        return "it speaks TLS, or no gRPC: pass --tls-ca (and --tls-cert), or look at --target"
    return "start it (steeple serve), or look at --target, the port and what lies between"
