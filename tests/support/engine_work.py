"""How much an engine computes for what a test does: whoever is left must cost little."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.cluster import Stub, is_idle, load_of
from tests.support.waiting import eventually


@contextmanager
def computes_below(stub: Stub, num_tokens: int) -> Iterator[None]:
    """Fail unless the block's requests begin, leave nothing, and make fewer tokens than that.

    To wait until an engine is idle proves nothing alone: an answer that nobody ended ends, too.
    """
    eventually(lambda: is_idle(stub))
    before = load_of(stub)
    yield
    eventually(lambda: is_idle(stub))
    after = load_of(stub)
    assert after.num_prompt_tokens > before.num_prompt_tokens
    assert after.num_output_tokens - before.num_output_tokens < num_tokens
