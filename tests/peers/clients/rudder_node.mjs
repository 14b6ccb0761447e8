// Makes the calls of argv[2] {host, key, calls} with RudderStack's own client for Node.
import { createRequire } from "node:module";
const { host, key, calls, modules } = JSON.parse(process.argv[2]);
const Analytics = createRequire(modules + "/")("@rudderstack/rudder-sdk-node");

const client = new Analytics(key, { dataPlaneUrl: host, flushAt: 5, flushInterval: 200, logLevel: "error" });
// A call's callback comes when its batch was taken, or was given up.
await Promise.all(calls.map(({ call, ...message }) => new Promise((done, failed) =>
  client[call](message, (error) => (error ? failed(error) : done())))));
