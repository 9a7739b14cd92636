// Stubs for a gateway, made from the .proto files when the program starts: nothing is generated.
//
// Copy this file and the folder protos/ into a project of yours, and change PROTOS.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const PROTOS = fileURLToPath(new URL("../../protos", import.meta.url));
const FILES = [
  "steeple/inference/v1/inference_service.proto",
  "steeple/inference/v1/model_service.proto",
  "steeple/inference/v1/tokenization_service.proto",
  "grpc/health/v1/health.proto",
  "google/rpc/status.proto",
  "google/rpc/error_details.proto",
];

// Every message of the contract by its full name; see errors.mjs for what else they are good for.
export const definitions = loader.loadSync(FILES, {
  includeDirs: [PROTOS, `${PROTOS}/third_party`],
  defaults: true, // an empty text comes as "", not as undefined
  enums: String,
  longs: String, // a seed has 64 bits, a JavaScript number 53
  oneofs: true, // event.event tells which kind of event it is
});
const { steeple, grpc: standard } = grpc.loadPackageDefinition(definitions);

// Where the examples connect, and how. From the environment:
//   STEEPLE_TARGET  HOST:PORT of the gateway; default 127.0.0.1:50051
//   STEEPLE_TOKEN   sent with every call; needs STEEPLE_CA
//   STEEPLE_CA      a PEM file with the authority of the gateway's certificate; unset = no TLS
export function fromEnvironment(environment = process.env) {
  return {
    target: environment.STEEPLE_TARGET ?? "127.0.0.1:50051",
    token: environment.STEEPLE_TOKEN,
    ca: environment.STEEPLE_CA && readFileSync(environment.STEEPLE_CA),
  };
}

// Stubs that share one connection. `ca` is a Buffer in PEM form, or undefined for no TLS.
export function connect({ target, token, ca }) {
  const credentials = credentialsFor({ token, ca });
  const { InferenceService, ModelService, TokenizationService } = steeple.inference.v1;
  const inference = new InferenceService(target, credentials);
  const shared = { channelOverride: inference.getChannel() };
  return {
    inference,
    models: new ModelService(target, credentials, shared),
    tokenization: new TokenizationService(target, credentials, shared),
    health: new standard.health.v1.Health(target, credentials, shared),
    close: () => inference.close(),
  };
}

function credentialsFor({ token, ca }) {
  if (ca === undefined) {
    if (token !== undefined) throw new Error("a token needs TLS: name the authority, too");
    return grpc.credentials.createInsecure();
  }
  const tls = grpc.credentials.createSsl(ca);
  if (token === undefined) return tls;
  const header = grpc.credentials.createFromMetadataGenerator((_, done) => {
    const metadata = new grpc.Metadata();
    metadata.set("authorization", `Bearer ${token}`);
    done(null, metadata);
  });
  return grpc.credentials.combineChannelCredentials(tls, header);
}

// The point in time at which the gateway, and the engine behind it, give a call up.
export function deadline(seconds) {
  return { deadline: Date.now() + seconds * 1000 };
}

// A unary call as a promise: `await unary(stubs.models, "listModels", {}, deadline(5))`.
export function unary(stub, method, request, options = {}) {
  return new Promise((resolve, reject) => {
    stub[method](request, options, (error, reply) => (error ? reject(error) : resolve(reply)));
  });
}
