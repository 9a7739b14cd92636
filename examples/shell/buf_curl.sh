#!/usr/bin/env bash
# Health, what is served, an answer as a whole and as a stream, by `buf curl`.
# STEEPLE_TARGET names another gateway than 127.0.0.1:50051, BUF another buf.
set -euo pipefail

gateway="http://${STEEPLE_TARGET:-127.0.0.1:50051}"
# Where reflection is off, this file tells the contract.
descriptors="$(dirname "$0")/../../protos/steeple/descriptors.binpb"
v1=steeple.inference.v1

command -v "${BUF:-buf}" > /dev/null ||
  { echo "error: no ${BUF:-buf} here: pip install buf-bin, or name one with BUF=" >&2; exit 2; }

call() { "${BUF:-buf}" curl --protocol grpc --http2-prior-knowledge "$@"; }

echo "# services, by reflection"
call --list-services "$gateway"

echo "# health"
call "$gateway/grpc.health.v1.Health/Check"

echo "# models"
call --schema "$descriptors" "$gateway/$v1.ModelService/ListModels"

echo "# a whole answer"
call --schema "$descriptors" \
  --data '{"text": "What is 2+2?", "stopping": {"max_tokens": 8}}' \
  "$gateway/$v1.InferenceService/Generate"

echo "# a stream"
call --schema "$descriptors" \
  --data '{"messages": [{"role": "ROLE_USER", "parts": [{"text": "What is 2+2?"}]}]}' \
  "$gateway/$v1.InferenceService/ChatStream"
