"""Sampling under whatever the documented bounds allow: total, and a function of its row alone."""

from dataclasses import replace

import numpy as np
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from engine_svc.core.outputs import RowFault, SampleSpec
from engine_svc.core.params import LengthPenalty, LogprobsParams, RequestId, SamplingParams
from engine_svc.core.sampling.row_processors import RowProcessors
from engine_svc.core.sampling.sampler import NO_TOKEN_LEFT, Choice, Sampler, SampleRow

VOCAB_SIZE = 24
TOKENS = st.integers(0, VOCAB_SIZE - 1)
TINY = float(np.finfo(np.float32).smallest_subnormal)
LARGEST = float(np.finfo(np.float32).max)
TEXT = st.lists(TOKENS, max_size=40)


def wire_floats(low: float, high: float) -> st.SearchStrategy[float]:
    """What a float field can carry, its bounds and the smallest numbers included."""
    edges = [edge for edge in (low, high, TINY, 2 * TINY, 1e-30) if low <= edge <= high]
    return st.one_of(st.sampled_from(edges), st.floats(low, high, width=32))


SAMPLING = st.builds(
    SamplingParams,
    temperature=wire_floats(0.0, 100.0) | st.just(-0.0),
    top_k=st.sampled_from([0, 1, 2, VOCAB_SIZE - 1, VOCAB_SIZE, 1_000_000]),
    top_p=wire_floats(TINY, 1.0),
    min_p=wire_floats(0.0, 1.0),
    typical_p=wire_floats(TINY, 1.0),
    seed=st.integers(0, 2**64 - 1),
    repetition_penalty=wire_floats(TINY, 10.0),
    presence_penalty=wire_floats(-2.0, 2.0),
    frequency_penalty=wire_floats(-2.0, 2.0),
    length_penalty=st.none()
    | st.builds(
        LengthPenalty,
        start_index=st.sampled_from([0, 1, 5, 2**32 - 1]),
        decay_factor=wire_floats(1.0, 10.0),
    ),
    logit_bias=st.dictionaries(TOKENS, wire_floats(-100.0, 100.0), max_size=6).map(
        lambda bias: tuple(bias.items())
    ),
    bad_word_ids=st.lists(
        st.lists(TOKENS, min_size=1, max_size=4).map(tuple), max_size=VOCAB_SIZE
    ).map(tuple),
)
LOGPROBS = st.none() | st.builds(
    LogprobsParams, num_top=st.integers(0, 20), token_ids=st.lists(TOKENS, max_size=3).map(tuple)
)
LOGITS = st.lists(
    st.floats(-40.0, 40.0, width=32)
    | st.sampled_from([0.0, -0.0, TINY, -TINY, LARGEST, -LARGEST, -np.inf]),
    min_size=VOCAB_SIZE,
    max_size=VOCAB_SIZE,
).map(lambda values: np.array(values, dtype=np.float32))


@st.composite
def specs(draw: st.DrawFn) -> SampleSpec:
    """A row's request, somewhere on its way."""
    sampling, prompt, output = draw(SAMPLING), draw(TEXT.filter(bool)), draw(TEXT)
    return SampleSpec(
        sampling=sampling,
        output_index=draw(st.integers(0, 7)),
        banned_token_ids=draw(st.sampled_from([(), (2,), tuple(range(VOCAB_SIZE))])),
        eos_token_ids=draw(st.sampled_from([(), (2,), (2, 3, 2)])),
        logprobs=draw(LOGPROBS),
        num_prompt_tokens=len(prompt),
        history=[*prompt, *output] if sampling.looks_back else None,
    )


def row(name: str, spec: SampleSpec) -> SampleRow:
    return SampleRow(request_id=RequestId(name), spec=spec, position=11)


EXTREME = SampleSpec(
    sampling=SamplingParams(
        temperature=TINY,
        typical_p=TINY,
        top_p=TINY,
        min_p=1.0,
        repetition_penalty=TINY,
        length_penalty=LengthPenalty(start_index=0, decay_factor=10.0),
        logit_bias=((1, 100.0),),
    ),
    output_index=0,
    eos_token_ids=(2,),
    num_prompt_tokens=1,
    history=[1, *range(VOCAB_SIZE)] * 20,
    logprobs=LogprobsParams(num_top=20),
)
# Two equals, and tokens so faint that half of their weight is no number above 0.
FAINT = np.array([0.0, 0.0, -744.6, -745.0] * 6, dtype=np.float32)
TYPICAL = SampleSpec(sampling=SamplingParams(typical_p=0.9), output_index=0)
BOTH_ENDS = np.array([LARGEST, -LARGEST, TINY, 0.0] * 6, dtype=np.float32)


@given(logits=LOGITS, spec=specs())
@example(logits=BOTH_ENDS, spec=EXTREME)
@example(logits=FAINT, spec=TYPICAL)
@example(
    logits=BOTH_ENDS,
    spec=replace(EXTREME, sampling=replace(EXTREME.sampling, temperature=100.0, top_p=1.0)),
)
def test_whatever_is_asked_gives_a_possible_token_or_a_fault_that_says_why(
    logits: np.ndarray[tuple[int], np.dtype[np.float32]], spec: SampleSpec
) -> None:
    """No warning, no other error; a forbidden or impossible token never comes."""
    before = logits.copy()
    (result,) = Sampler().sample(torch.from_numpy(logits)[None], [row("a", spec)])
    assert np.array_equal(logits, before)
    if isinstance(result, RowFault):
        has_model_left_any = bool((logits > -np.inf).any())
        assert (result is NO_TOKEN_LEFT) is has_model_left_any
        return
    assert logits[result.token_id] > -np.inf
    assert result.token_id not in spec.banned_token_ids
    assert (result.token_id,) not in spec.sampling.bad_word_ids
    if spec.logprobs is not None:
        assert result.logprobs is not None
        assert result.logprobs.logprob <= 0.0
        assert not np.isnan([value for _, value in result.logprobs.top]).any()


@given(sampling=SAMPLING, prompt=TEXT.filter(bool), output=TEXT, data=st.data())
def test_reading_on_is_the_same_as_reading_again(
    sampling: SamplingParams, prompt: list[int], output: list[int], data: st.DataObject
) -> None:
    """A state that was read on at any points, and asked for logits there, is that of a replay."""
    logits = np.linspace(-6.0, 6.0, VOCAB_SIZE, dtype=np.float32)
    history = list(prompt)
    spec = SampleSpec(
        sampling=sampling,
        output_index=0,
        eos_token_ids=(2,),
        num_prompt_tokens=len(prompt),
        history=history if sampling.looks_back else None,
    )
    kept = RowProcessors(spec)
    while True:
        read_on, replayed = logits.copy(), logits.copy()
        kept.apply(read_on, spec)
        RowProcessors(spec).apply(replayed, spec)
        assert np.array_equal(read_on, replayed)
        left = len(prompt) + len(output) - len(history)
        if not left:
            break
        num_new = data.draw(st.integers(1, left))
        start = len(history) - len(prompt)
        history += output[start : start + num_new]


@given(logits=LOGITS, spec=specs(), others=st.lists(specs(), max_size=4), data=st.data())
def test_neighbours_change_nothing(
    logits: np.ndarray[tuple[int], np.dtype[np.float32]],
    spec: SampleSpec,
    others: list[SampleSpec],
    data: st.DataObject,
) -> None:
    """Alone, or anywhere in a batch of other logits, broken ones among them."""
    place = data.draw(st.integers(0, len(others)))
    matrix = [data.draw(LOGITS) for _ in others]
    for broken in data.draw(st.lists(st.integers(0, 4), max_size=2)):
        if broken < len(matrix):
            matrix[broken] = np.full(VOCAB_SIZE, np.nan, dtype=np.float32)
    matrix.insert(place, logits)
    rows = [row(f"other-{idx}", other) for idx, other in enumerate(others)]
    rows.insert(place, row("a", spec))
    together = Sampler().sample(torch.from_numpy(np.stack(matrix)), rows)
    alone = Sampler().sample(torch.from_numpy(logits)[None], [row("a", spec)])
    assert [together[place]] == alone
    assert all(isinstance(result, Choice | RowFault) for result in together)
