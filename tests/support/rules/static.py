"""What binds `static`: one warmed-up shape per batch, nobody joins until it has drained.

Source of the matching: vllm-spyre, static batching.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from engine_svc.core.batching import WarmupShape
from engine_svc.core.outputs import ScheduledSequence, SchedulerOutput, StaticShape
from engine_svc.core.params import RequestId
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.scheduler.base import SchedulerConfig
from tests.support.rules.book import Book
from tests.support.rules.known import Known, KnownRequests
from tests.support.rules.verdict import expect_equal


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch that was started."""

    shape: WarmupShape
    members: tuple[RequestId, ...]
    """By row."""
    left_pads: tuple[int, ...]
    num_steps: int
    """The prompt step included."""


class StaticRules:
    """See `rules.base.Checker`."""

    def __init__(self, config: SchedulerConfig) -> None:
        # Equals stay as they were given.
        self._shapes = sorted(config.options.shapes, key=lambda s: (s.batch_size, s.prompt_len))
        self._book = Book(config)
        self._batch: Batch | None = None

    def can_run_alone(self, spec: RequestSpec) -> bool:
        """In some shape."""
        prompt, new = spec.num_prefill_tokens, spec.num_new_tokens
        return any(_holds(shape, prompt, new) for shape in self._shapes) and new > 0

    def check(self, step: SchedulerOutput, requests: KnownRequests) -> None:
        """Refuse a step that breaks a rule."""
        self._book.forget_ended(requests)
        batch = self._batch_of(step, requests)
        self._check_layout(step, batch)
        self._book.check(step, requests)
        self._check_whole(step, requests)
        self._book.commit(step)
        self._batch = batch

    def spoil(self, sequences: tuple[ScheduledSequence, ...]) -> None:
        """Forget what these wrote."""
        self._book.spoil(sequences)

    def _batch_of(self, step: SchedulerOutput, requests: KnownRequests) -> Batch:
        """The batch whose turn it is: the old one while anybody of it lives."""
        running = self._book.running_ids()
        if self._batch is None or not running:
            return self._new_batch(step, requests)
        alive = tuple(member for member in self._batch.members if member in running)
        expect_equal("nobody joins or misses a step", expected=alive, got=_ids(step))
        return Batch(
            shape=self._batch.shape,
            members=self._batch.members,
            left_pads=self._batch.left_pads,
            num_steps=self._batch.num_steps + 1,
        )

    def _new_batch(self, step: SchedulerOutput, requests: KnownRequests) -> Batch:
        queue = sorted(requests.values(), key=lambda known: known.turn)
        members = matched(queue, self._shapes)
        ids = tuple(known.spec.request_id for known in members)
        expect_equal("the batch is matched in order", expected=ids, got=_ids(step))
        shape = first_fitting(members, self._shapes)
        pads = tuple(shape.prompt_len - known.num_prefill_tokens for known in members)
        empty = (shape.prompt_len,) * (shape.batch_size - len(members))
        return Batch(shape=shape, members=ids, left_pads=pads + empty, num_steps=1)

    def _check_layout(self, step: SchedulerOutput, batch: Batch) -> None:
        layout = step.layout
        if not isinstance(layout, StaticShape):
            raise AssertionError(f"the layout: expected a StaticShape, got {layout!r}")  # noqa: TRY004 - a verdict
        found = WarmupShape(
            batch_size=layout.batch_size,
            prompt_len=layout.prompt_len,
            new_tokens=layout.new_tokens,
        )
        expect_equal("the first shape that fits", expected=batch.shape, got=found)
        kv_len = batch.shape.prompt_len + batch.num_steps - 1
        expect_equal("KV length", expected=kv_len, got=layout.kv_len)
        present = set(_ids(step))
        rows = tuple(member if member in present else None for member in batch.members)
        rows += (None,) * (batch.shape.batch_size - len(rows))
        expect_equal("rows", expected=rows, got=layout.rows)
        expect_equal("left padding", expected=batch.left_pads, got=layout.left_pads)

    def _check_whole(self, step: SchedulerOutput, requests: KnownRequests) -> None:
        """A prompt comes whole; so later steps bring one token each."""
        for sequence in step.sequences:
            known = requests[sequence.request_id]
            missing = len(known.token_ids) - self._book.num_computed(sequence.request_id)
            expect_equal("all known tokens", expected=missing, got=sequence.num_tokens)


def matched(queue: Sequence[Known], shapes: Sequence[WarmupShape]) -> list[Known]:
    """Who forms the next batch: each in turn if, with those before, some shape still fits."""
    batch: list[Known] = []
    fitting = list(shapes)
    for known in queue:
        left = [
            shape
            for shape in fitting
            if _holds(shape, known.num_prefill_tokens, known.num_new_tokens)
            and len(batch) < shape.batch_size
        ]
        if left:
            batch.append(known)
            fitting = left
        elif len(batch) >= max(shape.batch_size for shape in fitting):
            break
    return batch


def first_fitting(batch: Sequence[Known], shapes: Sequence[WarmupShape]) -> WarmupShape:
    """The first shape with room for a whole batch."""
    return next(
        shape
        for shape in shapes
        if len(batch) <= shape.batch_size
        and all(_holds(shape, k.num_prefill_tokens, k.num_new_tokens) for k in batch)
    )


def _holds(shape: WarmupShape, num_prompt: int, num_new: int) -> bool:
    return num_prompt <= shape.prompt_len and num_new <= shape.new_tokens


def _ids(step: SchedulerOutput) -> tuple[RequestId, ...]:
    return tuple(sequence.request_id for sequence in step.sequences)
