"""docs/models.md says what the code does."""

from engine_svc.core.models.refused import REFUSED
from engine_svc.core.models.registry import FAMILIES
from tests.support.truth_cases import DECODERS, OTHERS
from tools.models_table import DOCUMENT, written


def test_the_tables_of_the_document_are_those_of_the_code() -> None:
    """`python tools/models_table.py --write` mends it."""
    text = DOCUMENT.read_text()
    assert text == written(text)


def test_no_architecture_is_served_and_refused() -> None:
    """The refusal would come first."""
    assert not FAMILIES.keys() & REFUSED.keys()


def test_every_served_architecture_is_in_the_walk() -> None:
    """A family without a golden case would be served on trust."""
    assert {case.model_class for case in DECODERS} == FAMILIES.keys()
    assert {case.model_class for case in OTHERS} <= REFUSED.keys()
