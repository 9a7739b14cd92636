"""docs/models.md says what the code does."""

from engine_svc.core.models import registry
from engine_svc.core.models.family import Task
from engine_svc.core.models.refused import REFUSED
from engine_svc.core.models.registry import FAMILIES
from tests.support.encoder_cases import ENCODERS
from tests.support.truth_cases import DECODERS, OTHERS
from tools.models_table import DOCUMENT, written


def test_the_tables_of_the_document_are_those_of_the_code() -> None:
    """`python -m tools.models_table --write` mends it."""
    text = DOCUMENT.read_text()
    assert text == written(text)


def test_no_architecture_is_served_and_refused() -> None:
    """The refusal would come first."""
    assert not FAMILIES.keys() & REFUSED.keys()


def test_every_architecture_is_in_the_walk() -> None:
    """A family without a golden case would be loaded on trust."""
    assert {case.model_class for case in (*DECODERS, *ENCODERS)} == FAMILIES.keys()
    assert {case.model_class for case in OTHERS} == REFUSED.keys()


def test_every_family_is_for_the_task_that_it_is_listed_under() -> None:
    """The registry lists them by task; the engine asks the family."""
    assert {family.task for family in registry.DECODERS} == {Task.DECODER}
    assert {family.task for family in registry.ENCODERS} == {Task.ENCODER}


def test_the_heads_of_one_encoder_share_their_fields() -> None:
    """The document has one column for all of them."""
    fields: dict[str, object] = {}
    for family in registry.ENCODERS:
        assert fields.setdefault(family.model_type, family.fields) == family.fields
