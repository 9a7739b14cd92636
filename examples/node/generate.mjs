// Continue a text, and wait at most ten seconds for the whole answer: node generate.mjs "2+2=" 8

import { describe } from "./errors.mjs";
import { connect, deadline, fromEnvironment, unary } from "./steeple.mjs";

const [text = "2+2=", maxTokens = "8"] = process.argv.slice(2);
const stubs = connect(fromEnvironment());
try {
  const request = { text, stopping: { maxTokens: Number(maxTokens) }, sampling: { temperature: 0 } };
  const reply = await unary(stubs.inference, "generate", request, deadline(10));
  const [output] = reply.outputs;
  console.log(`${output.text}\n(${output.finishReason})`);
} catch (error) {
  console.error(describe(error));
  process.exitCode = 1;
} finally {
  stubs.close();
}
