"""The rules that bind every policy: what was computed, who holds which block, what a slot holds."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from engine_svc.core.outputs import NO_SLOT, ScheduledSequence, SchedulerOutput
from engine_svc.core.params import BlockId, RequestId
from engine_svc.core.scheduler.base import SchedulerConfig
from tests.support.rules.arithmetic import blocks
from tests.support.rules.known import Known, KnownRequests
from tests.support.rules.shadow import Shadow
from tests.support.rules.verdict import expect, expect_at_most, expect_equal


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A request that has run and lives."""

    num_computed_tokens: int
    block_table: tuple[BlockId, ...]
    block_offset: int
    histories: tuple[int, ...]
    """Per computed position; see `shadow`."""


class Book:
    """All that the steps so far have done; refuses a step that does not follow from it.

    Per step: `forget_ended`, `check`, then `commit`; `spoil` if the runner failed.

    Args:
        config: the bounds.
        shares_blocks: several requests may hold one block.
        preempts: running requests may lose their blocks; else whoever runs can run to its end.
    """

    def __init__(
        self, config: SchedulerConfig, *, shares_blocks: bool = False, preempts: bool = False
    ) -> None:
        self._config = config
        self._shares_blocks = shares_blocks
        self._preempts = preempts
        self._running: dict[RequestId, Running] = {}
        self._has_run: set[RequestId] = set()
        self._untold: set[RequestId] = set()
        self._shadow = Shadow()
        self._pending: dict[RequestId, list[int]] = {}
        self._num_steps = 0

    def forget_ended(self, requests: KnownRequests) -> None:
        """Take the requests that live no longer out of the book."""
        ended = self._has_run - requests.keys()
        self._untold |= ended
        self._has_run -= ended
        for request_id in ended:
            self._running.pop(request_id, None)

    def forget_preempted(self, request_ids: Iterable[RequestId]) -> None:
        """Take requests that wait again out of the book."""
        for request_id in request_ids:
            self._running.pop(request_id, None)

    def num_computed(self, request_id: RequestId) -> int:
        """Positions in the cache before this step."""
        running = self._running.get(request_id)
        return running.num_computed_tokens if running else 0

    def running_ids(self) -> set[RequestId]:
        """Who had run before this step and lives."""
        return set(self._running)

    def held_blocks(self) -> set[BlockId]:
        """Those of all who run."""
        return set(chain.from_iterable(r.block_table for r in self._running.values()))

    def decodable(self, requests: KnownRequests) -> set[RequestId]:
        """Whose prompt was computed before this step."""
        return {i for i in self._running if self.num_computed(i) >= requests[i].num_prefill_tokens}

    def starting(self, step: SchedulerOutput) -> set[RequestId]:
        """Who runs for the first time, or again."""
        return {sequence.request_id for sequence in step.sequences} - self._running.keys()

    def block_table(self, request_id: RequestId) -> tuple[BlockId, ...]:
        """Of one who runs, as of the last step that computed it."""
        return self._running[request_id].block_table

    def waiting(self, requests: KnownRequests) -> KnownRequests:
        """Who did not run before this step."""
        return {i: known for i, known in requests.items() if i not in self._running}

    def check(self, step: SchedulerOutput, requests: KnownRequests) -> None:
        """Refuse a step that breaks a rule of the seam.

        Raises:
            AssertionError: the rule, what was expected, what was found.
        """
        expect_equal("steps count up", expected=self._num_steps + 1, got=step.step)
        expect("a step computes something", holds=bool(step.sequences), got=step)
        self._check_told(step)
        self._check_copies(step)
        self._check_seats(step)
        self._pending = {}
        for sequence in step.sequences:
            expect("only live requests run", holds=sequence.request_id in requests, got=sequence)
            known = requests[sequence.request_id]
            self._check_tokens(sequence, known)
            self._check_table(sequence)
            self._pending[sequence.request_id] = self._histories(sequence, known)
            self._check_slots(sequence)
        self._check_written_once(step)
        self._check_holders(step)
        if not self._preempts:
            none = not step.preempted_request_ids
            expect("nobody is preempted", holds=none, got=step.preempted_request_ids)
            self._check_promises(step, requests)

    def commit(self, step: SchedulerOutput) -> None:
        """Enter a step that was found right."""
        self._num_steps += 1
        self._untold.clear()
        self._has_run |= {sequence.request_id for sequence in step.sequences}
        for sequence in step.sequences:
            histories = self._pending[sequence.request_id]
            self._running[sequence.request_id] = Running(
                num_computed_tokens=sequence.next_position,
                block_table=sequence.block_table,
                block_offset=sequence.block_offset,
                histories=tuple(histories),
            )
            new = histories[sequence.first_position :]
            for slot, history in zip(sequence.slot_mapping, new, strict=True):
                if slot != NO_SLOT:
                    self._shadow.write(slot, history)

    def spoil(self, sequences: tuple[ScheduledSequence, ...]) -> None:
        """The runner failed on these: what they wrote is worth nothing."""
        for sequence in sequences:
            self._shadow.spoil(sequence.slot_mapping)

    def _check_told(self, step: SchedulerOutput) -> None:
        told = sorted(step.finished_request_ids)
        expect_equal("the ended are told once", expected=sorted(self._untold), got=told)

    def _check_copies(self, step: SchedulerOutput) -> None:
        """A copy goes from a computed block to one that nobody holds; it is there at once."""
        size = self._config.block_size
        targets = [target for _, target in step.block_copies]
        mine = set(targets) - self.held_blocks()
        expect("blocks are copied to fresh ones", holds=len(mine) == len(targets), got=targets)
        sources = {source for source, _ in step.block_copies}
        apart = sources.isdisjoint(targets)
        expect("no block is copied from and to", holds=apart, got=step.block_copies)
        written = {s // size for q in step.sequences for s in q.slot_mapping if s != NO_SLOT}
        expect("what is copied is not written", holds=written.isdisjoint(sources), got=sources)
        for source, target in step.block_copies:
            for offset in range(size):
                there = self._shadow.is_written(source * size + offset)
                expect("what is copied is computed", holds=there, got=source)
                self._shadow.copy(source * size + offset, target * size + offset)

    def _check_seats(self, step: SchedulerOutput) -> None:
        ids = [sequence.request_id for sequence in step.sequences]
        expect("a request has one place in a step", holds=len(ids) == len(set(ids)), got=ids)
        seated = len(self._running.keys() | set(ids))
        expect_at_most("seats", limit=self._config.max_num_seqs, got=seated)
        idle = set(step.paused_request_ids)
        expect("who is paused does not run", holds=idle.isdisjoint(ids), got=idle)
        expect("only who has run is paused", holds=idle <= self._running.keys(), got=idle)

    def _check_tokens(self, sequence: ScheduledSequence, known: Known) -> None:
        expect("a scheduled sequence has tokens", holds=sequence.num_tokens > 0, got=sequence)
        prompt = len(known.spec.prompt_token_ids)
        expect_equal("length of the prompt", expected=prompt, got=sequence.num_prompt_tokens)
        first, end = sequence.first_position, sequence.next_position
        expect_equal("the tokens", expected=known.token_ids[first:end], got=sequence.token_ids)
        if sequence.request_id in self._running or not self._shares_blocks:
            computed = self.num_computed(sequence.request_id)
            expect_equal("positions are consecutive", expected=computed, got=first)
        is_last = end == len(known.token_ids)
        has_sample = sequence.sample is not None
        expect_equal("a sample after the last known token", expected=is_last, got=has_sample)

    def _check_table(self, sequence: ScheduledSequence) -> None:
        table, size = sequence.block_table, self._config.block_size
        in_range = all(1 <= block <= self._config.num_blocks for block in table)
        expect("blocks exist; 0 belongs to nobody", holds=in_range, got=table)
        expect("a table names a block once", holds=len(set(table)) == len(table), got=table)
        offset = sequence.block_offset
        expect("the offset lies in the first block", holds=0 <= offset < size, got=offset)
        needed = blocks(offset + sequence.next_position, size)
        expect("the table covers the tokens", holds=len(table) >= needed, got=(table, needed))
        before = self._running.get(sequence.request_id)
        if before is not None:
            kept = table[: len(before.block_table)]
            expect_equal("a table only grows", expected=before.block_table, got=kept)
            expect_equal("the offset stays", expected=before.block_offset, got=offset)

    def _check_slots(self, sequence: ScheduledSequence) -> None:
        """Written where the table says, or already there; all before it is there."""
        histories = self._pending[sequence.request_id]
        places = self._places(sequence)
        first = sequence.first_position
        num_slots = len(sequence.slot_mapping)
        expect_equal("a slot per token", expected=sequence.num_tokens, got=num_slots)
        if sequence.request_id not in self._running:
            for place, history in zip(places[:first], histories[:first], strict=True):
                self._expect_there("cached tokens are those of the sequence", place, history)
        new = zip(sequence.slot_mapping, places[first:], histories[first:], strict=True)
        for slot, place, history in new:
            if slot == NO_SLOT:
                self._expect_there("only what is there is not written", place, history)
            else:
                expect_equal("a slot lies in the own table", expected=place, got=slot)

    def _expect_there(self, rule: str, place: int, history: int) -> None:
        expect(rule, holds=self._shadow.holds(place, history), got=f"slot {place}")

    def _check_written_once(self, step: SchedulerOutput) -> None:
        slots = [s for q in step.sequences for s in q.slot_mapping if s != NO_SLOT]
        expect("slots are distinct", holds=len(slots) == len(set(slots)), got=slots)

    def _check_holders(self, step: SchedulerOutput) -> None:
        """A block has one holder, or is full, computed, and written by nobody."""
        size = self._config.block_size
        holders = Counter(chain.from_iterable(self._tables(step).values()))
        written = {s // size for q in step.sequences for s in q.slot_mapping if s != NO_SLOT}
        for block in (block for block, count in holders.items() if count > 1):
            expect("a block has one holder", holds=self._shares_blocks, got=block)
            expect("a shared block is not written", holds=block not in written, got=block)
            slots = range(block * size, (block + 1) * size)
            is_full = all(map(self._shadow.is_written, slots))
            expect("a shared block is full and computed", holds=is_full, got=block)

    def _check_promises(self, step: SchedulerOutput, requests: KnownRequests) -> None:
        """Whoever runs has, or will have, the blocks to run to its end."""
        offsets = {i: running.block_offset for i, running in self._running.items()}
        offsets |= {q.request_id: q.block_offset for q in step.sequences}
        tables = self._tables(step)
        promised = 0
        for request_id, table in tables.items():
            # The last token is never computed.
            end = offsets[request_id] + requests[request_id].spec.max_num_tokens - 1
            promised += max(0, blocks(end, self._config.block_size) - len(table))
        held = len(set(chain.from_iterable(tables.values())))
        limit = self._config.num_blocks
        expect_at_most("blocks held and promised", limit=limit, got=held + promised)

    def _tables(self, step: SchedulerOutput) -> dict[RequestId, tuple[BlockId, ...]]:
        """Of all that run, after this step."""
        before = {i: running.block_table for i, running in self._running.items()}
        return before | {q.request_id: q.block_table for q in step.sequences}

    def _histories(self, sequence: ScheduledSequence, known: Known) -> list[int]:
        """Of all positions of the sequence, this step's included."""
        running = self._running.get(sequence.request_id)
        before = running.histories if running else ()
        return self._shadow.extended(
            before,
            known.token_ids[len(before) : sequence.next_position],
            scope=known.spec.cache_salt,
        )

    def _places(self, sequence: ScheduledSequence) -> list[int]:
        """The slot of every position of the sequence, by its table."""
        size, offset = self._config.block_size, sequence.block_offset
        return [
            sequence.block_table[place // size] * size + place % size
            for place in range(offset, offset + sequence.next_position)
        ]
