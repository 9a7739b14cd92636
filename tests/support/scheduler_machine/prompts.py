"""Random requests whose prompts often begin alike, or go on where another one was."""

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from engine_svc.core.params import RequestId, SamplingParams, StoppingParams, TokenId
from engine_svc.core.request_spec import RequestSpec

_STORY_LENGTH = 10_000
_NUM_STORIES = 2
_MAX_CONVERSATIONS = 4
_MAX_END_IDX = 40
_BLOCK = 64
_MANY = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A request in few words, so that a failing example can be read."""

    prompt_len: int
    max_tokens: int
    num_shared: int = 0
    """The prompt's first tokens that are those of the story or conversation."""
    story_idx: int = 0
    conversation_idx: int | None = None
    """Go on with what an earlier request said; counts backwards from the latest one."""
    num_prior: int = 0
    end_idx: int | None = None
    """Which token of the prompt ends the output."""
    priority: int = 0
    timeout_s: float | None = None
    salt: str = ""

    def spec(self, idx: int, conversations: Sequence[tuple[TokenId, ...]]) -> RequestSpec:
        """The request itself.

        Args:
            idx: makes its id and its own tokens unique.
            conversations: prompts of earlier requests and their answers, the latest one last.
        """
        prompt = self._prompt(idx, conversations)
        return RequestSpec(
            request_id=RequestId(f"r{idx}"),
            prompt_token_ids=prompt,
            prior_output_token_ids=tuple(prompt[i % len(prompt)] for i in range(self.num_prior)),
            sampling=SamplingParams(temperature=0.0),
            stopping=StoppingParams(
                max_tokens=self.max_tokens, eos_token_ids=self._end_tokens(prompt)
            ),
            priority=self.priority,
            timeout_s=self.timeout_s,
            cache_salt=self.salt,
        )

    def _prompt(
        self, idx: int, conversations: Sequence[tuple[TokenId, ...]]
    ) -> tuple[TokenId, ...]:
        first = (1 + self.story_idx) * _STORY_LENGTH
        start = tuple(range(first, first + self.num_shared))
        if conversations and self.conversation_idx is not None:
            start = conversations[-1 - self.conversation_idx % len(conversations)]
            start = start[: self.num_shared]
        own = (1 + _NUM_STORIES + idx) * _STORY_LENGTH
        return start + tuple(range(own, own + self.prompt_len - len(start)))

    def _end_tokens(self, prompt: tuple[TokenId, ...]) -> tuple[TokenId, ...]:
        """None, or one of the prompt: the fake repeats it, so its answer ends there."""
        if self.end_idx is None or self.end_idx >= len(prompt):
            return ()
        token = prompt[self.end_idx]
        # Prior output that has it would have ended with it.
        return () if token in (prompt * 2)[: self.num_prior] else (token,)


@st.composite
def recipes(draw: st.DrawFn, *, longest: int) -> Recipe:
    """A request that mostly fits a context of `longest` tokens and sometimes exceeds it."""
    prompt_len = draw(_prompt_lens(longest))
    max_tokens = draw(_max_tokens(max(1, longest - prompt_len)))
    return Recipe(
        prompt_len=prompt_len,
        max_tokens=max_tokens,
        num_shared=draw(st.just(prompt_len) | st.integers(0, prompt_len)),
        story_idx=draw(st.integers(0, _NUM_STORIES - 1)),
        conversation_idx=draw(st.none() | st.integers(0, _MAX_CONVERSATIONS - 1)),
        num_prior=draw(st.just(0) | st.just(0) | st.integers(0, max_tokens)),
        end_idx=draw(st.none() | st.integers(0, _MAX_END_IDX)),
        priority=draw(st.sampled_from([0, 0, 1, -1, 0])),
        timeout_s=draw(st.sampled_from([None, None, None, 0.0, 3.0, 20.0, None, None, None])),
        salt=draw(st.sampled_from(["", "", "", "other"])),
    )


def _prompt_lens(longest: int) -> st.SearchStrategy[int]:
    """Any, or next to the border of a block."""
    any_length = st.integers(1, longest) | st.integers(1, max(1, longest // 2))
    if longest < _BLOCK:
        return any_length
    borders = st.builds(
        lambda num_blocks, beside: min(longest, _BLOCK * num_blocks + beside),
        st.integers(1, max(1, longest // _BLOCK - 1)),
        st.integers(-2, 2),
    )
    return any_length | borders


def _max_tokens(room: int) -> st.SearchStrategy[int]:
    """Mostly a few; sometimes all there is room for, and one more."""
    few = st.integers(1, min(room, _MANY))
    many = st.integers(1, room) | st.sampled_from([room, room + 1])
    return st.sampled_from([few, many, few, few]).flatmap(lambda strategy: strategy)
