"""What requests are known to end with, so that each can be counted from 0 on. Pure.

No law: an engine may tell reasons that are not here, and they are counted from their first on.
"""

from gateway.takeover import LOSSES
from gateway.values import FinishReason
from steeple_rpc.errors import Cancelled, DeadlineExpired, EngineFault

INCOMPLETE = "INCOMPLETE"
"""Neither finished nor failed: whoever read its events let go of them."""
_FROM_THE_ENGINE = frozenset(
    {"STEP_FAILED", "NON_FINITE_LOGITS", "NO_TOKEN_LEFT", "REQUEST_NEVER_FITS", "QUEUE_FULL"}
)
_FROM_THE_TOKENIZER = frozenset(
    {"PROMPT_TOO_LONG", "NO_CHAT_TEMPLATE", "TEMPLATE_FAILED", "TOKENIZER_LOST"}
)
_OF_ITS_OWN = frozenset(
    {
        "CONTEXT_EXCEEDED",
        "OUT_OF_RANGE",
        "CLIENT_TOO_SLOW",
        "BAD_ENGINE",
        Cancelled.default_reason,
        DeadlineExpired.default_reason,
        EngineFault.default_reason,
        INCOMPLETE,
    }
)
ENDS = (
    frozenset(reason.name for reason in FinishReason)
    | LOSSES
    | _FROM_THE_ENGINE
    | _FROM_THE_TOKENIZER
    | _OF_ITS_OWN
)
"""Of requests that held a permit."""
REFUSALS = frozenset(
    {
        "QUEUE_FULL",
        "PRINCIPAL_QUOTA",
        "REQUEST_EXISTS",
        "MODEL_NOT_FOUND",
        "MODEL_REQUIRED",
        "ENGINE_NOT_READY",
        "TOKENIZER_NOT_READY",
        "UPSTREAM_MISMATCH",
        "DRAINING",
        DeadlineExpired.default_reason,
    }
)
"""Of those that never did."""
