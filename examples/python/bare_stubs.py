"""The same without our client: grpcio and the generated stubs alone.

python bare_stubs.py "What is 2+2?"
"""

import os
import sys

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from steeple.common.v1 import chat_pb2
from steeple.inference.v1 import chat_pb2 as inference_pb2
from steeple.inference.v1 import inference_service_pb2_grpc

DEADLINE_S = 60.0


def request_for(question: str) -> inference_pb2.ChatStreamRequest:
    """One turn of a user; what is left unset means the model's own defaults."""
    part = chat_pb2.ContentPart(text=question)
    message = chat_pb2.ChatMessage(role=chat_pb2.ROLE_USER, parts=[part])
    return inference_pb2.ChatStreamRequest(messages=[message])


def reason_of(error: grpc.RpcError) -> str:
    """The stable reason that a program can branch on; empty where the server told none."""
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    found = (detail.Unpack(info) for detail in (status.details if status else ()))
    return str(info.reason) if any(found) else ""


def main(question: str) -> int:
    """Print the answer; 1 where the gateway refused or failed."""
    target = os.environ.get("STEEPLE_TARGET", "127.0.0.1:50051")
    with grpc.insecure_channel(target) as channel:
        stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
        call = stub.ChatStream(request_for(question), timeout=DEADLINE_S)
        try:
            for event in call:
                print(event.delta.text, end="", flush=True)
            print()
        except grpc.RpcError as error:
            print(f"{reason_of(error)}: {call.details()}", file=sys.stderr)
            return 1
        finally:
            call.cancel()  # dropping a call does not end it; harmless where it has ended
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "What is 2+2?"))
