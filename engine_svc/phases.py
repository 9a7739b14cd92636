"""Queue, prefill and decode of one request, as spans of its trace."""

from collections.abc import Sequence

from engine_svc.core.outputs import RequestOutput
from steeple_rpc.tracing import RpcTrace


class PhaseSpans:
    """Tells the trace the phases when the request has ended; not those of one that was left."""

    def __init__(self, trace: RpcTrace) -> None:
        self._trace = trace
        self._queue_s = 0.0

    def note(self, outputs: Sequence[RequestOutput]) -> None:
        """The core told this about the request."""
        for output in outputs:
            if output.is_first:
                self._queue_s = output.queue_s
            if output.finish_reason is not None:
                self._trace.phases(
                    ("queue", self._queue_s),
                    ("prefill", output.prefill_s),
                    ("decode", output.decode_s),
                )
