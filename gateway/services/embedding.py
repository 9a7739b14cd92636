"""EmbeddingService: in the contract, not built yet."""

from steeple.inference.v1 import embedding_service_pb2, embedding_service_pb2_grpc
from steeple_rpc.context import Context
from steeple_rpc.errors import Unsupported


class EmbeddingService(embedding_service_pb2_grpc.EmbeddingServiceServicer):
    """EmbeddingService of inference/v1: every RPC is refused."""

    async def Embed(
        self, request: embedding_service_pb2.EmbedRequest, context: Context
    ) -> embedding_service_pb2.EmbedResponse:
        """Not built yet."""
        raise Unsupported("Embed is not supported yet")

    async def Rerank(
        self, request: embedding_service_pb2.RerankRequest, context: Context
    ) -> embedding_service_pb2.RerankResponse:
        """Not built yet."""
        raise Unsupported("Rerank is not supported yet")

    async def Score(
        self, request: embedding_service_pb2.ScoreRequest, context: Context
    ) -> embedding_service_pb2.ScoreResponse:
        """Not built yet."""
        raise Unsupported("Score is not supported yet")

    async def Classify(
        self, request: embedding_service_pb2.ClassifyRequest, context: Context
    ) -> embedding_service_pb2.ClassifyResponse:
        """Not built yet."""
        raise Unsupported("Classify is not supported yet")
