"""F-10: NaN, +Inf, or nothing but -Inf in a row of logits.

Its request alone ends NON_FINITE_LOGITS; its neighbours' tokens are what they are without it. Many
such requests within a minute have the core replaced.
"""

from pathlib import Path

import pytest
import torch

from engine_svc.core.outputs import SampleSpec
from engine_svc.core.params import RequestId, SamplingParams
from engine_svc.core.sampling.sampler import NON_FINITE_LOGITS, Sampler, SampleRow
from tests.support.lone_engine import LoneEngine

BAD = 66
LIMIT = 3
VOCAB = 50
WAYS = [
    SamplingParams(temperature=0.0),
    SamplingParams(temperature=0.8, seed=7),
    SamplingParams(temperature=1.3, top_k=9, top_p=0.7, seed=8),
]
POISONS = {"NaN": torch.nan, "+Inf": torch.inf}


def _poisoned(row: torch.Tensor, poison: str) -> torch.Tensor:
    """A row with one useless logit, or with none that is not."""
    if poison == "all -Inf":
        return torch.full_like(row, -torch.inf)
    poisoned = row.clone()
    poisoned[VOCAB // 2] = POISONS[poison]
    return poisoned


@pytest.mark.parametrize("poison", [*POISONS, "all -Inf"])
@pytest.mark.parametrize("way", range(len(WAYS)))
def test_a_useless_row_fails_and_its_neighbours_do_not_notice(poison: str, way: int) -> None:
    """The real sampler, at every place of the batch, greedy and random."""
    logits = torch.randn(4, VOCAB, generator=torch.Generator().manual_seed(3))
    rows = [
        SampleRow(
            request_id=RequestId(str(idx)),
            spec=SampleSpec(sampling=WAYS[(way + idx) % len(WAYS)], output_index=0),
            position=9,
        )
        for idx in range(len(logits))
    ]
    expected = Sampler().sample(logits, rows)
    for place in range(len(logits)):
        batch = logits.clone()
        batch[place] = _poisoned(batch[place], poison)
        chosen = Sampler().sample(batch, rows)
        assert chosen[place] == NON_FINITE_LOGITS
        assert chosen[:place] + chosen[place + 1 :] == expected[:place] + expected[place + 1 :]


def test_a_request_with_useless_logits_dies_alone_and_too_many_end_the_core(
    demo_dir: Path,
) -> None:
    """One less than the limit leaves the core as it is."""
    script = (f"--fake-fault-token-id={BAD}", f"--max-faulty-requests={LIMIT}")
    with LoneEngine(demo_dir, *script) as engine:
        core = engine.core
        alone = engine.answer(5, 6, 7, max_tokens=60)
        neighbour = engine.stream(5, 6, 7, max_tokens=60)
        neighbour.wait_for_tokens(1)
        bad = [engine.stream(8, BAD) for _ in range(LIMIT - 1)]
        assert {stream.reason for stream in bad} == {"NON_FINITE_LOGITS"}
        assert neighbour.join().tokens == alone
        assert engine.core.pid == core.pid
        assert engine.stream(8, BAD).reason == "NON_FINITE_LOGITS"
        engine.wait_until_ready(times=2)
        assert engine.answer(5, 6, max_tokens=3) == [5, 6, 5]
        assert {"core_sick", "core_lost"} <= set(engine.service.names())
