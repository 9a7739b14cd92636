// Calls GenerateStream with its two directions apart: node half_close.mjs open|early|empty
//   open   sends the request, and keeps its own direction open
//   early  sends the request, and closes its direction at once, as every generated stub does
//   empty  closes its direction without a request
// Prints the kind of each event, then the status.

import grpc from "../../../examples/node/node_modules/@grpc/grpc-js/build/src/index.js";
import { deadline, definitions, fromEnvironment } from "../../../examples/node/steeple.mjs";

const mode = process.argv[2];
const method = definitions["steeple.inference.v1.InferenceService"].GenerateStream;
const client = new grpc.Client(fromEnvironment().target, grpc.credentials.createInsecure());
const call = client.makeBidiStreamRequest(
  method.path,
  method.requestSerialize,
  method.responseDeserialize,
  deadline(mode === "empty" ? 1 : 20),
);
call.on("data", ({ event }) => console.log(event));
call.on("error", () => {}); // the status says the same
call.on("status", ({ code }) => {
  console.log(grpc.status[code]);
  client.close();
});
if (mode !== "empty") call.write({ text: "one two", stopping: { maxTokens: 3, ignoreEos: true } });
if (mode !== "open") call.end();
