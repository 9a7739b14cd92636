"""Models by served name: which engines serve each, and whether its tokenizer agrees. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from gateway.balance import EngineLoad, least_loaded
from gateway.upstream_values import EngineFacts, TokenizerFacts
from steeple_rpc.errors import InvalidRequest, NotFound, Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineState:
    """One engine as the catalog sees it; `index` finds it again."""

    index: int
    facts: EngineFacts
    load: EngineLoad


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """What can be served at one moment."""

    engines: Sequence[EngineState]
    """Those that serve now."""
    tokenizers: Mapping[str, TokenizerFacts]
    """By model; empty while the tokenizer service does not serve."""
    known_models: frozenset[str]
    """Every model that was ever seen: NOT_FOUND is for names that never were."""

    @property
    def is_ready(self) -> bool:
        """Whether some model can be served."""
        return any(self.is_served(model) for model in self.models)

    @property
    def models(self) -> list[str]:
        """Names of the models that have an engine now, sorted."""
        return sorted({engine.facts.model for engine in self.engines})

    def is_served(self, model: str) -> bool:
        """Whether engine and tokenizer are there and agree."""
        return bool(self.agreeing(model))

    def agreeing(self, model: str) -> list[EngineState]:
        """The engines of a model whose tokenizer is the tokenizer service's."""
        tokenizer = self.tokenizers.get(model)
        return [
            engine
            for engine in self.engines
            if tokenizer is not None
            and engine.facts.model == model
            and engine.facts.tokenizer_fingerprint == tokenizer.fingerprint
        ]

    def resolve(self, name: str, *, field: str = "model") -> str:
        """The served name that a request means; an empty one means the only model.

        Args:
            name: as the caller gave it.
            field: where in the request.

        Raises:
            InvalidRequest: no name, and not exactly one model.
            NotFound: no such model.
            Unavailable: the model cannot be served now.
        """
        candidates = sorted(self.known_models)
        if not name and len(candidates) > 1:
            raise InvalidRequest(
                f"{field} is required: {len(candidates)} models are served",
                reason="MODEL_REQUIRED",
                field=field,
            )
        model = name or (candidates[0] if candidates else "")
        if candidates and model not in self.known_models:
            raise NotFound("no such model is served", reason="MODEL_NOT_FOUND", field=field)
        if not self.is_served(model):
            raise self._why_not(model)
        return model

    def pick(self, model: str) -> EngineState:
        """The least loaded engine of a model.

        Raises:
            Unavailable: there is none; it may have gone since `resolve`.
        """
        engines = self.agreeing(model)
        if not engines:
            raise self._why_not(model)
        return engines[least_loaded([engine.load for engine in engines])]

    def successor(self, lost: EngineFacts, *, avoiding: Collection[str]) -> EngineState | None:
        """The least loaded engine that computes exactly what a lost one did; None if none is there.

        Args:
            lost: what the lost one served.
            avoiding: instances that are not to be asked.
        """
        engines = [
            engine
            for engine in self.agreeing(lost.model)
            if engine.facts.model_fingerprint == lost.model_fingerprint
            and engine.facts.tokenizer_fingerprint == lost.tokenizer_fingerprint
            and engine.facts.instance_id not in avoiding
        ]
        return engines[least_loaded([engine.load for engine in engines])] if engines else None

    def max_live(self, model: str) -> int:
        """Requests of a model that its engines hold, running and waiting."""
        facts = (engine.facts for engine in self.agreeing(model))
        return sum(fact.max_num_seqs + fact.max_num_waiting for fact in facts)

    def room(self, model: str) -> Mapping[str, str | int | float]:
        """What a served model offers over all its engines, by name, for people to read."""
        facts = [engine.facts for engine in self.agreeing(model)]
        return {
            "architecture": facts[0].architecture,
            "dtype": facts[0].dtype,
            "max_model_len": min(fact.max_model_len for fact in facts),
            "kv_tokens": sum(fact.kv_tokens for fact in facts),
            "max_concurrency": sum(fact.max_concurrency for fact in facts),
        }

    def trouble(self, model: str) -> str:
        """The reason why a known model cannot be served now; empty where it can."""
        return "" if self.is_served(model) else self._why_not(model).reason

    def _why_not(self, model: str) -> Unavailable:
        if not self.tokenizers:
            return Unavailable("the tokenizer service is not ready", reason="TOKENIZER_NOT_READY")
        if model not in self.models:
            return Unavailable("no engine is ready for the model", reason="ENGINE_NOT_READY")
        return Unavailable(
            "engine and tokenizer service disagree about the model's tokenizer",
            reason="UPSTREAM_MISMATCH",
        )
