"""How models are named on the command line."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from steeple_rpc.channel import MAX_MESSAGE_BYTES
from tokenizer_svc.settings import TokenizerSettings


def test_a_model_is_served_under_its_name_or_its_directorys() -> None:
    settings = TokenizerSettings(model=("a=/x/y", "/models/b", "c=rel=ative"))
    assert dict(settings.directories) == {
        "a": Path("/x/y"),
        "b": Path("/models/b"),
        "c": Path("rel=ative"),
    }


@pytest.mark.parametrize("model", [(), ("a=/x", "a=/y"), ("/x/a", "a=/y"), ("=/x",), ("/",)])
def test_every_model_needs_a_name_of_its_own(model: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        TokenizerSettings(model=model)


def test_a_message_may_be_as_large_as_an_upstreams() -> None:
    """A prompt's ids, and what gathered for all sessions of a gateway, come in one message."""
    assert TokenizerSettings(model=("/x",)).max_message_bytes == MAX_MESSAGE_BYTES
