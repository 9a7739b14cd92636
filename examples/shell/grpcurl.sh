#!/usr/bin/env bash
# Health, what is served, an answer as a whole and as a stream, by grpcurl.
# STEEPLE_TARGET names another gateway than 127.0.0.1:50051.
set -euo pipefail

gateway="${STEEPLE_TARGET:-127.0.0.1:50051}"
# Where reflection is off, this file tells the contract.
descriptors="$(dirname "$0")/../../protos/steeple/descriptors.binpb"
v1=steeple.inference.v1

command -v grpcurl > /dev/null ||
  { echo "error: no grpcurl here: install it, or take buf_curl.sh beside this" >&2; exit 2; }

echo "# services, by reflection"
grpcurl -plaintext "$gateway" list

echo "# health"
grpcurl -plaintext "$gateway" grpc.health.v1.Health/Check

echo "# models"
grpcurl -plaintext -protoset "$descriptors" "$gateway" "$v1.ModelService/ListModels"

echo "# a whole answer"
grpcurl -plaintext -protoset "$descriptors" -max-time 60 \
  -d '{"text": "What is 2+2?", "stopping": {"max_tokens": 8}}' \
  "$gateway" "$v1.InferenceService/Generate"

echo "# a stream"
grpcurl -plaintext -protoset "$descriptors" -max-time 60 \
  -d '{"messages": [{"role": "ROLE_USER", "parts": [{"text": "What is 2+2?"}]}]}' \
  "$gateway" "$v1.InferenceService/ChatStream"
