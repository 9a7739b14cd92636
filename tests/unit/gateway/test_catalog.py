"""What is served at a moment, under which name, and why not."""

import pytest

from gateway.catalog import Catalog
from steeple_rpc.errors import InvalidRequest, NotFound, Unavailable
from tests.support.gateway_fakes import (
    MODEL,
    catalog_of,
    engine_state,
    tokenizer_facts,
)


def empty(*known: str, has_tokenizer: bool = True) -> Catalog:
    """No engine now; models that once were."""
    tokenizers = {MODEL: tokenizer_facts()} if has_tokenizer else {}
    return Catalog(engines=(), tokenizers=tokenizers, known_models=frozenset(known))


def test_a_model_is_served_where_engine_and_tokenizer_agree() -> None:
    catalog = catalog_of(engine_state())
    assert catalog.is_ready
    assert catalog.is_served(MODEL)
    assert catalog.models == [MODEL]
    assert catalog.resolve(MODEL) == MODEL


def test_no_name_means_the_only_model() -> None:
    assert catalog_of(engine_state()).resolve("") == MODEL


def test_no_name_is_refused_where_there_are_several_models() -> None:
    both = {MODEL: tokenizer_facts(), "other": tokenizer_facts()}
    catalog = catalog_of(engine_state(0), engine_state(1, model="other"), **both)
    assert catalog.models == [MODEL, "other"]
    assert catalog.resolve("other") == "other"
    with pytest.raises(InvalidRequest, match="2 models") as caught:
        catalog.resolve("")
    assert (caught.value.reason, caught.value.field) == ("MODEL_REQUIRED", "model")


def test_a_name_that_never_was_is_not_found() -> None:
    """Also while everything is away: trying again is useless."""
    for catalog in (catalog_of(engine_state()), empty(MODEL)):
        with pytest.raises(NotFound) as caught:
            catalog.resolve("gpt")
        assert (caught.value.reason, caught.value.field) == ("MODEL_NOT_FOUND", "model")
        assert "gpt" not in caught.value.message


def test_the_field_at_fault_is_the_callers() -> None:
    with pytest.raises(NotFound) as caught:
        catalog_of(engine_state()).resolve("gpt", field="name")
    assert caught.value.field == "name"


@pytest.mark.parametrize(
    ("catalog", "reason"),
    [
        (empty(), "ENGINE_NOT_READY"),
        (empty(MODEL), "ENGINE_NOT_READY"),
        (empty(MODEL, has_tokenizer=False), "TOKENIZER_NOT_READY"),
        (catalog_of(engine_state(tokenizer_fingerprint="0")), "UPSTREAM_MISMATCH"),
        (catalog_of(engine_state(), other=tokenizer_facts()), "UPSTREAM_MISMATCH"),
    ],
)
@pytest.mark.parametrize("name", [MODEL, ""])
def test_a_model_that_is_away_is_unavailable(catalog: Catalog, reason: str, name: str) -> None:
    """Another replica, or the same one later, may serve it: never NOT_FOUND."""
    assert not catalog.is_ready
    with pytest.raises(Unavailable) as caught:
        catalog.resolve(name)
    assert caught.value.reason == reason


def test_any_name_may_come_later_while_no_model_was_ever_seen() -> None:
    with pytest.raises(Unavailable):
        empty().resolve("gpt")


def test_an_engine_that_disagrees_is_passed_over() -> None:
    wrong = engine_state(0, tokenizer_fingerprint="0", max_num_seqs=100)
    right = engine_state(1, num_requests=50)
    catalog = catalog_of(wrong, right)
    assert catalog.pick(MODEL).index == 1
    assert catalog.max_live(MODEL) == 4


def test_the_least_loaded_engine_of_the_model_is_picked() -> None:
    both = {MODEL: tokenizer_facts(), "other": tokenizer_facts()}
    catalog = catalog_of(
        engine_state(4, num_requests=2),
        engine_state(5, num_requests=1),
        engine_state(6, model="other"),
        **both,
    )
    assert catalog.pick(MODEL).index == 5


def test_an_engine_that_went_since_is_unavailable_and_no_fault_of_ours() -> None:
    with pytest.raises(Unavailable) as caught:
        empty(MODEL).pick(MODEL)
    assert caught.value.reason == "ENGINE_NOT_READY"


def test_as_many_may_live_as_all_engines_of_the_model_hold() -> None:
    catalog = catalog_of(engine_state(0), engine_state(1, max_num_seqs=10, max_num_waiting=20))
    assert catalog.max_live(MODEL) == 4 + 30
