"""The commands in the order of the help: `steeple_cli.NAME` has NAME, a function or a typer."""

from collections.abc import Mapping

COMMANDS: Mapping[str, str] = {
    "serve": "Serve a model: gateway, tokenizer service and engine service.",
    "plan": "Simulate batching policies on a workload: latencies, padding.",
    "demo": "Serve the demo model, ask it what 2+2 is, check the answer.",
    "wait": "Wait until requests can be served.",
    "generate": "Continue a text; print what the model adds, as it comes.",
    "chat": "Say something to the model; print its answer, as it comes.",
    "doctor": "Tell what would be served, and what would not work.",
    "models": "List what is served: route, policy, load time, memory, room.",
    "top": "Watch requests, KV blocks, tokens/s and latencies as they run.",
    "bench": "Put a load on a gateway; measure what its callers see.",
    "token": "Keep the file of those who may call the gateway.",
}
"""What each does: how its own help begins."""
