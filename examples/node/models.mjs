// Is it ready, and what does it serve? node models.mjs

import { describe } from "./errors.mjs";
import { connect, deadline, fromEnvironment, unary } from "./steeple.mjs";

const stubs = connect(fromEnvironment());
try {
  const { status } = await unary(stubs.health, "check", {}, deadline(5));
  console.log(status);
  const { models } = await unary(stubs.models, "listModels", {}, deadline(5));
  for (const model of models) {
    console.log(`${model.name}: ${model.architecture}, ${model.maxModelLen} tokens of context`);
  }
} catch (error) {
  console.error(describe(error));
  process.exitCode = 1;
} finally {
  stubs.close();
}
