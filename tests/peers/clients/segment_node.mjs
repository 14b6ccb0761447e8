// Makes the calls of argv[2] {host, key, calls} with Segment's own client for Node.
import { createRequire } from "node:module";
const { host, key, calls, modules } = JSON.parse(process.argv[2]);
const { Analytics } = createRequire(modules + "/")("@segment/analytics-node");

const client = new Analytics({ writeKey: key, host, flushAt: 5, flushInterval: 200 });
client.on("error", (error) => { console.error(error); process.exitCode = 1; });
for (const { call, ...message } of calls) client[call](message);
await client.closeAndFlush();
