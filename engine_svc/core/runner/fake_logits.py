"""Logits of a model that is not there: they follow from a sequence's tokens and nothing else."""

import zlib
from collections.abc import Sequence

import numpy as np

from engine_svc.core.outputs import TokenLogprobs
from engine_svc.core.params import LogprobsParams, TokenId
from engine_svc.core.sampling.arrays import Floats
from engine_svc.core.sampling.logprobs import token_logprobs

_MAX_SPOKEN = 512
_SPREAD = 8.0
_SILENT = -30.0
# An integer finaliser in the manner of splitmix64 (Steele, Lea, Flood, 2014).
_MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))
_TO_24_BITS = np.uint64(40)


def fake_logits(token_ids: Sequence[TokenId], *, vocab_size: int, eos_token_id: TokenId) -> Floats:
    """[vocab_size], all finite: 0 to 8 for the first 512 tokens and the end token, else -30.

    Every token of the sequence changes all of them, as in a model.
    """
    spoken = np.arange(min(vocab_size, _MAX_SPOKEN))
    if eos_token_id >= _MAX_SPOKEN:
        spoken = np.append(spoken, eos_token_id)
    logits = np.full(vocab_size, _SILENT, dtype=np.float32)
    seed = zlib.crc32(np.asarray(token_ids, dtype="<i8").tobytes())
    logits[spoken] = _noise(seed, spoken.astype(np.uint64)) * _SPREAD
    return logits


def certain_logprobs(token_id: TokenId, asked: LogprobsParams, *, vocab_size: int) -> TokenLogprobs:
    """What a model tells that expects one token and nothing else."""
    logits = np.full(vocab_size, _SILENT, dtype=np.float32)
    logits[token_id] = 0.0
    return token_logprobs(logits, token_id, asked)


def _noise(seed: int, numbers: np.ndarray[tuple[int], np.dtype[np.uint64]]) -> Floats:
    """Evenly spread over 0 to 1, a multiple of 2**-24 for each number."""
    mixed = (numbers << np.uint64(32)) | np.uint64(seed)
    for shift, multiplier in zip(_SHIFTS, (*_MULTIPLIERS, np.uint64(1)), strict=True):
        mixed = (mixed ^ (mixed >> shift)) * multiplier
    return ((mixed >> _TO_24_BITS) / 2.0**24).astype(np.float32)
