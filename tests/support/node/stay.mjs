// Reads one long stream, and stays with its connection open when that has ended:
// node stay.mjs SECONDS_UNTIL_DEADLINE. The line "cancel" cancels the call, "break" only leaves
// the loop that reads it. Prints the kind of each event, and the error that the call ends with.

import { createInterface } from "node:readline";
import { describe } from "../../../examples/node/errors.mjs";
import { connect, deadline, fromEnvironment } from "../../../examples/node/steeple.mjs";

const stubs = connect(fromEnvironment());
const call = stubs.inference.generateStream(
  { text: "hello world", stopping: { maxTokens: 900, ignoreEos: true } },
  deadline(Number(process.argv[2])),
);
let isLeaving = false;
createInterface({ input: process.stdin }).on("line", (line) => {
  if (line === "cancel") call.cancel();
  if (line === "break") isLeaving = true;
});
try {
  for await (const { event } of call) {
    console.log(event);
    if (isLeaving) break;
  }
  console.log("left");
} catch (error) {
  console.log(JSON.stringify(describe(error)));
}
