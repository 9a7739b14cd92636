"""Who shares cached prefixes with whom."""

from gateway.cache_scope import cache_scope
from steeple_rpc.parameters import MAX_SALT_BYTES
from steeple_rpc.principal import ANONYMOUS, Principal

ANN, BOB = Principal(name="ann"), Principal(name="bob")


def test_callers_without_names_and_salts_share() -> None:
    assert cache_scope(ANONYMOUS, None) is None


def test_known_callers_share_only_with_themselves() -> None:
    """Not even by choosing what another has chosen, or is called."""
    salts = (None, "x", "bob", "ann")
    scopes = [cache_scope(principal, salt) for principal in (ANN, BOB) for salt in salts]
    assert len({None, *scopes}) == 1 + len(scopes)
    assert cache_scope(ANN, "x") == cache_scope(Principal(name="ann", max_share=0.5), "x")


def test_where_a_name_ends_and_a_salt_begins_is_clear() -> None:
    assert cache_scope(Principal(name="an"), "nx") != cache_scope(ANN, "x")


def test_a_scope_is_a_salt_that_the_engine_takes() -> None:
    scope = cache_scope(Principal(name="é" * 64), "é" * 64)
    assert scope is not None
    assert scope.isprintable()
    assert len(scope.encode()) <= MAX_SALT_BYTES
    assert "é" not in scope
