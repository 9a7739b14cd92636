"""One detokenize session: ids in; text, stops and the number of ids told out; pure.

Ids are taken one by one, so however they are chunked, the same text, the same count and the same
stop come out.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from steeple_rpc.errors import InvalidRequest
from steeple_rpc.limits import check_count
from tokenizer_svc.detokenize.detokenizer import AnswerDecoder, Detokenizer
from tokenizer_svc.detokenize.session_values import (
    MAX_ASIDE_IDS,
    Progress,
    SessionOptions,
    TokenText,
)
from tokenizer_svc.detokenize.stop_strings import Released, StopMatcher


@dataclass(frozen=True, slots=True)
class _Border:
    """After `num_ids` ids all text up to `num_chars` is certain, and nothing else is pending."""

    num_ids: int
    num_chars: int


class Session:
    """One growing output.

    Args:
        detokenizer: of the output's tokenizer.
        options: what was asked for.
        prompt_tail_ids: see AnswerDecoder.
        prior_output_ids: ids of an earlier session that this one carries on. What that session
            told is not told again; what it held back is held back here.

    Raises:
        InvalidRequest: an id is out of range.
    """

    def __init__(
        self,
        detokenizer: Detokenizer,
        options: SessionOptions,
        *,
        prompt_tail_ids: Sequence[int] = (),
        prior_output_ids: Sequence[int] = (),
    ) -> None:
        vocabulary = detokenizer.vocabulary
        vocabulary.check_ids(prompt_tail_ids, field="prompt_tail_ids")
        vocabulary.check_ids(prior_output_ids, field="prior_output_ids")
        self._detokenizer = detokenizer
        self._options = options
        # A caller may send the whole prompt: only what decides how the text goes on is decoded.
        tail = prompt_tail_ids[detokenizer.tail_start(prompt_tail_ids) :]
        self._decoder = AnswerDecoder(
            detokenizer, tail, skip_special_tokens=options.skip_special_tokens
        )
        self._matcher = StopMatcher(options.stops) if options.stops else None
        self._matched_stop: str | None = None
        self._asides: list[str] = []
        self._num_received = 0
        self._num_consumed = 0
        self._unconsumed: deque[int] = deque()
        self._num_chars_decoded = 0
        self._num_chars_released = 0
        self._borders: deque[_Border] = deque()
        self._take(prior_output_ids)
        self._consumed_now()
        self._num_told = self._num_consumed

    def prior_match(self) -> Progress | None:
        """The end of the session, where the prior ids already contain a stop string."""
        if self._matched_stop is None:
            return None
        return Progress(
            text="",
            ids_consumed=self._num_consumed,
            ids_received=self._num_received,
            matched_stop=self._matched_stop,
        )

    def push(
        self,
        ids: Sequence[int],
        *,
        first_position: int,
        is_final: bool,
        aside_ids: Sequence[int] = (),
    ) -> Progress | None:
        """Take new output ids; None if there is nothing to tell yet.

        Args:
            ids: in order.
            first_position: how many ids came before, prior ones included.
            is_final: no more will come: release everything.
            aside_ids: ids that are no output; their own texts are told with the next progress.

        Raises:
            InvalidRequest: ids are missing or doubled, or one is out of range.
        """
        self._check_position(first_position)
        self._detokenizer.vocabulary.check_ids(ids, field="ids")
        self._take_asides(aside_ids)
        text = self._take(ids)
        if is_final and self._matched_stop is None:
            text += self._finish()
        tokens = self._consumed_now()
        if not (text or is_final or self._matched_stop or self._num_consumed > self._num_told):
            return None
        self._num_told = self._num_consumed
        return Progress(
            text=text,
            ids_consumed=self._num_consumed,
            ids_received=self._num_received,
            matched_stop=self._matched_stop,
            is_final=is_final,
            tokens=tokens,
            aside_texts=self._asides_now(),
        )

    def _take_asides(self, ids: Sequence[int]) -> None:
        check_count("aside_ids", len(ids), MAX_ASIDE_IDS)
        self._detokenizer.vocabulary.check_ids(ids, field="aside_ids")
        self._asides += map(self._detokenizer.token_text, ids)

    def _asides_now(self) -> tuple[str, ...]:
        asides, self._asides = tuple(self._asides), []
        return asides

    def _check_position(self, first_position: int) -> None:
        if first_position != self._num_received:
            raise InvalidRequest(
                f"the ids start at position {first_position}; {self._num_received} ids were"
                " received before",
                reason="OUT_OF_ORDER",
                field="first_position",
            )

    def _take(self, ids: Sequence[int]) -> str:
        texts = []
        for token_id in ids:
            self._num_received += 1
            self._unconsumed.append(token_id)
            texts.append(self._release(self._decoder.push(token_id)))
            if self._matched_stop is not None:
                break
            self._mark_border()
        return "".join(texts)

    def _release(self, text: str) -> str:
        """Pass decoded text through the stop matcher; what may be told now."""
        self._num_chars_decoded += len(text)
        if self._matcher is None or self._num_received <= self._options.min_tokens:
            released = text
        else:
            released = self._unless_stopped(self._matcher.push(text))
        self._num_chars_released += len(released)
        return released

    def _unless_stopped(self, released: Released) -> str:
        stop = released.matched_stop
        self._matched_stop = stop
        if stop is not None and self._options.include_stop_in_output:
            return released.text + stop
        return released.text

    def _finish(self) -> str:
        text = self._release(self._decoder.finish())
        if self._matched_stop is None and self._matcher is not None:
            text += self._matcher.finish()
        self._borders.clear()
        self._borders.append(_Border(self._num_received, self._num_chars_released))
        return text

    def _mark_border(self) -> None:
        if not self._decoder.is_settled:
            return
        if self._borders and self._borders[-1].num_chars == self._num_chars_decoded:
            self._borders.pop()
        self._borders.append(_Border(self._num_received, self._num_chars_decoded))

    def _consumed_now(self) -> tuple[TokenText, ...]:
        """Count the ids whose text has now been told completely, and drop them."""
        before = self._num_consumed
        if self._matched_stop is not None:
            self._num_consumed = self._num_received
        while self._borders and self._borders[0].num_chars <= self._num_chars_released:
            self._num_consumed = max(self._num_consumed, self._borders.popleft().num_ids)
        ids = [self._unconsumed.popleft() for _ in range(self._num_consumed - before)]
        if not self._options.token_texts:
            return ()
        return tuple(TokenText(id=i, text=self._detokenizer.token_text(i)) for i in ids)
