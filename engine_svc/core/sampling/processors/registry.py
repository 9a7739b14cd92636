"""The processors in the order in which they apply. A new one is its file and one line here."""

from engine_svc.core.sampling.processors.bad_words import bad_words
from engine_svc.core.sampling.processors.base import MakeProcessor
from engine_svc.core.sampling.processors.length_penalty import length_penalty
from engine_svc.core.sampling.processors.logit_bias import logit_bias
from engine_svc.core.sampling.processors.min_tokens import min_tokens
from engine_svc.core.sampling.processors.occurrences import occurrences
from engine_svc.core.sampling.processors.repetition import repetition

PROCESSORS: tuple[MakeProcessor, ...] = (
    logit_bias,
    bad_words,
    min_tokens,
    repetition,
    occurrences,
    length_penalty,
)
