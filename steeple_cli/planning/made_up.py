"""Tokens that nobody computed: they only decide which prompts are alike and when an output ends."""

from collections.abc import Iterable

from engine_svc.core.params import RequestId, SamplingParams, StoppingParams, TokenId
from engine_svc.core.request_spec import RequestSpec
from steeple_cli.planning.workload import PlannedRequest

STOP: TokenId = 0


class MadeUpTokens:
    """One token id for each request and each shared prefix, so that equal tokens mean sharing."""

    def __init__(self, requests: Iterable[PlannedRequest]) -> None:
        self._requests = {request.request_id: request for request in requests}
        names = dict.fromkeys(r.prefix.name for r in self._requests.values() if r.prefix)
        owners = [*self._requests, *(("prefix", name) for name in names)]
        self._ids = {owner: token for token, owner in enumerate(owners, start=STOP + 1)}

    def spec(self, request: PlannedRequest) -> RequestSpec:
        """What the engine would be asked for."""
        return RequestSpec(
            request_id=request.request_id,
            prompt_token_ids=self._prompt(request),
            sampling=SamplingParams(temperature=0.0),
            stopping=StoppingParams(max_tokens=request.max_tokens, stop_token_ids=(STOP,)),
            priority=request.priority,
        )

    def output_token(self, request_id: RequestId, position: int) -> TokenId:
        """Output token number `position`, from 0: STOP where the output ends before max_tokens."""
        request = self._requests[request_id]
        is_early_end = position == request.output_len - 1 < request.max_tokens - 1
        return STOP if is_early_end else self._ids[request_id]

    def _prompt(self, request: PlannedRequest) -> tuple[TokenId, ...]:
        own = self._ids[request.request_id]
        if request.prefix is None:
            return (own,) * request.prompt_len
        shared = (self._ids["prefix", request.prefix.name],) * request.prefix.num_tokens
        return shared + (own,) * (request.prompt_len - request.prefix.num_tokens)
