// Ask, and print the answer as it is made: node chat.mjs "What is 2+2?"

import { describe } from "./errors.mjs";
import { connect, deadline, fromEnvironment } from "./steeple.mjs";

const question = process.argv[2] ?? "What is 2+2?";
const stubs = connect(fromEnvironment());
const messages = [{ role: "ROLE_USER", parts: [{ text: question }] }];
const call = stubs.inference.chatStream({ messages }, deadline(60));
try {
  for await (const { event, delta, usage } of call) {
    if (event === "delta") process.stdout.write(delta.text);
    if (event === "usage") console.log(`\n(${usage.completionTokens} tokens)`);
  }
} catch (error) {
  console.error(describe(error));
  process.exitCode = 1;
} finally {
  call.cancel(); // leaving the loop alone would leave the server at work
  stubs.close();
}
