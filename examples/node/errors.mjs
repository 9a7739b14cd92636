// What a failed call tells beside its message: a stable reason to branch on, the field that is
// wrong, and when trying again may help.

import grpc from "@grpc/grpc-js";
import { definitions } from "./steeple.mjs";

const TYPES = "type.googleapis.com/";

// { code, message, reason, violations: [{ field, description }], retryAfterSeconds }
// reason is "" and retryAfterSeconds undefined where the server did not tell. An error that is not
// a call's is thrown on.
export function describe(error) {
  if (!(error.code in grpc.status)) throw error;
  const details = detailsOf(error);
  const delay = details["google.rpc.RetryInfo"]?.retryDelay;
  const violations = details["google.rpc.BadRequest"]?.fieldViolations ?? [];
  return {
    code: grpc.status[error.code],
    message: error.details,
    reason: details["google.rpc.ErrorInfo"]?.reason ?? "",
    violations: violations.map(({ field, description }) => ({ field, description })),
    retryAfterSeconds: delay && Number(delay.seconds) + delay.nanos / 1e9,
  };
}

// Details by the full name of their type; unknown types are left out.
function detailsOf(error) {
  const [data] = error.metadata?.get("grpc-status-details-bin") ?? [];
  if (data === undefined) return {};
  const found = {};
  for (const { type_url: url, value } of definitions["google.rpc.Status"].deserialize(data).details) {
    const name = url.slice(TYPES.length);
    if (name in definitions) found[name] = definitions[name].deserialize(value);
  }
  return found;
}
