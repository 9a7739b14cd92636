"""ModelService: what is served, its limits and its room."""

from gateway.backends import Backends
from gateway.catalog import Catalog, EngineState
from steeple.common.v1 import sampling_pb2
from steeple.inference.v1 import model_service_pb2, model_service_pb2_grpc
from steeple_rpc.context import Context
from steeple_rpc.limits import Bounds, check_number

DEFAULT_PAGE = 100
PAGE_SIZE = Bounds(low=1, high=1000)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """ModelService of inference/v1."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    async def ListModels(
        self, request: model_service_pb2.ListModelsRequest, context: Context
    ) -> model_service_pb2.ListModelsResponse:
        """Every model that can be served now, by name."""
        catalog = self._backends.catalog()
        size = request.page_size if request.HasField("page_size") else DEFAULT_PAGE
        check_number("page_size", size, PAGE_SIZE)
        names = [n for n in catalog.models if catalog.is_served(n) and n > request.page_token]
        page = names[:size]
        return model_service_pb2.ListModelsResponse(
            models=[_model(catalog, name) for name in page],
            next_page_token=page[-1] if len(names) > size else "",
        )

    async def GetModel(
        self, request: model_service_pb2.GetModelRequest, context: Context
    ) -> model_service_pb2.GetModelResponse:
        """One model."""
        catalog = self._backends.catalog()
        name = catalog.resolve(request.name, field="name")
        return model_service_pb2.GetModelResponse(model=_model(catalog, name))


def _model(catalog: Catalog, name: str) -> model_service_pb2.Model:
    engines = catalog.agreeing(name)
    facts = engines[0].facts
    capabilities = [model_service_pb2.MODEL_CAPABILITY_GENERATE]
    if catalog.tokenizers[name].has_chat_template:
        capabilities.append(model_service_pb2.MODEL_CAPABILITY_CHAT)
    return model_service_pb2.Model(
        name=name,
        architecture=facts.architecture,
        capabilities=capabilities,
        max_model_len=min(engine.facts.max_model_len for engine in engines),
        vocab_size=facts.vocab_size,
        dtype=facts.dtype,
        default_max_tokens=facts.default_max_tokens,
        default_sampling=sampling_pb2.SamplingParams(**facts.default_sampling),  # type: ignore[arg-type] # by name
        engines=[_engine(engine) for engine in engines],
        tokenizer_fingerprint=facts.tokenizer_fingerprint,
        model_fingerprint=facts.model_fingerprint,
    )


def _engine(engine: EngineState) -> model_service_pb2.ModelEngine:
    facts = engine.facts
    return model_service_pb2.ModelEngine(
        ready=True,
        kv_tokens=facts.kv_tokens,
        max_num_seqs=facts.max_num_seqs,
        max_concurrency=facts.max_concurrency,
        weights_bytes=facts.weights_bytes,
        kv_cache_bytes=facts.kv_cache_bytes,
        scheduler=facts.scheduler,
        device=facts.device,
        runner=facts.runner,
        load_ns=facts.load_ns,
        version=facts.version,
    )
