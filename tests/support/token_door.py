"""A door that lets named callers in, each by a token of its own."""

from collections.abc import Sequence
from datetime import UTC, datetime

from steeple_rpc.auth.authenticators import BearerTokens
from steeple_rpc.auth.failures import FailureLimit
from steeple_rpc.auth.interceptor import AuthInterceptor
from steeple_rpc.auth.token_table import TokenRecord, TokenTable, digest_of, new_token
from steeple_rpc.principal import Principal

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


class TokenDoor:
    """Tokens of these names, and the guard that knows them."""

    def __init__(self, *names: str) -> None:
        self._tokens = {name: new_token() for name in names}
        table = TokenTable(
            TokenRecord(digest=digest_of(token), principal=Principal(name=name), expires=None)
            for name, token in self._tokens.items()
        )
        self.guard = AuthInterceptor(
            BearerTokens(lambda: table, lambda: NOON), FailureLimit(lambda: 0.0)
        )

    def shown_by(self, name: str) -> Sequence[tuple[str, str]]:
        """The metadata of that caller's calls."""
        return [("authorization", f"Bearer {self._tokens[name]}")]
