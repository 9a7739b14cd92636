// Read so many tokens, then cancel; the gateway and the engine stop at once: node leave.mjs 5

import { describe } from "./errors.mjs";
import { connect, deadline, fromEnvironment } from "./steeple.mjs";

const enough = Number(process.argv[2] ?? 5);
const stubs = connect(fromEnvironment());
const call = stubs.inference.generateStream(
  { text: "Tell me a story", stopping: { maxTokens: 500 } },
  deadline(60),
);
let text = "";
try {
  for await (const { event, delta } of call) {
    if (event === "delta") text += delta.text;
    if (event === "delta" && delta.completionTokens >= enough) break;
  }
  console.log(text);
} catch (error) {
  console.error(describe(error));
  process.exitCode = 1;
} finally {
  call.cancel(); // `break` ends the loop, this ends the work; harmless where all is done
  stubs.close();
}
