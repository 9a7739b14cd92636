"""The processors of one request, and how much of its output they have read."""

from engine_svc.core.outputs import SampleSpec
from engine_svc.core.sampling.arrays import Floats
from engine_svc.core.sampling.processors.registry import PROCESSORS


class RowProcessors:
    """Reads on where it stopped: a step costs the tokens that are new, not the whole history.

    Args:
        spec: the request's; whatever of the output is there is read with the first row.
    """

    def __init__(self, spec: SampleSpec) -> None:
        prompt = [] if spec.history is None else spec.history[: spec.num_prompt_tokens]
        made = (make(spec, prompt) for make in PROCESSORS)
        self._processors = tuple(processor for processor in made if processor is not None)
        self._num_read = len(prompt)

    def apply(self, logits: Floats, spec: SampleSpec) -> None:
        """Change a row [vocab] in place.

        Args:
            logits: what the model computed after the history.
            spec: of the same request; its history begins with what was read before.
        """
        if spec.history is not None:
            unread = spec.history[self._num_read :]
            self._num_read += len(unread)
            for token_id in unread:
                for processor in self._processors:
                    processor.append(token_id)
        for processor in self._processors:
            processor.apply(logits, spec)
