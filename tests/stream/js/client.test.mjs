// The client of a server, on a websocket that the test plays. test_package.py runs this file.

import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { TurnstreamClient } from "../../../stream/js/turnstream.js";

class Socket {
  constructor() {
    Socket.last = this;
    this.sent = [];
  }

  send(wire) {
    this.sent.push(JSON.parse(wire));
  }

  hear(message) {
    this.onmessage({ data: JSON.stringify(message) });
  }

  close() {}
}
globalThis.WebSocket = Socket;

async function connected() {
  const client = new TurnstreamClient("ws://127.0.0.1:8765");
  const begun = client.connect();
  Socket.last.hear({ type: "begin", resume_token: null, resume_s: 0, saves: false });
  await begun;
  return [client, Socket.last];
}

test("values of the policy are configured in either spelling", async () => {
  const [client, socket] = await connected();
  client.configure({ policy: "fast", policyValues: { end_threshold: 0.8 }, start_secs: 0.2 });
  const change = { policy: "fast", end_threshold: 0.8, start_secs: 0.2 };
  assert.deepEqual(socket.sent, [{ type: "configure", ...change }]);
  assert.equal(client.settings.end_threshold, 0.8);
});

test("what is no audio, and a second connect, are refused", async () => {
  const [client, socket] = await connected();
  assert.throws(() => client.pushAudio(new Uint8Array(640)), {
    message: "expected samples as Float32Array or Int16Array, got Uint8Array",
  });
  assert.throws(() => client.pushAudio(new Int16Array(3)), /whole samples of 2 channels, got 3/);
  await assert.rejects(client.connect(), { message: "connect: expected one call, got another" });
  assert.equal(Socket.last, socket);
  assert.deepEqual(socket.sent, []);
});

test("a listener that fails stops neither the others nor the session", async () => {
  const [client, socket] = await connected();
  const [uncaught, heard] = [[], []];
  mock.method(globalThis, "queueMicrotask", (report) => uncaught.push(report));
  client.on("termination", () => { throw new Error("of the listener"); });
  client.on("termination", ({ reason }) => heard.push(reason));
  const closed = client.close();
  socket.hear({ type: "termination", reason: "close" });
  assert.equal((await closed).reason, "close");
  mock.restoreAll();
  assert.deepEqual(heard, ["close"]);
  assert.throws(uncaught[0], { message: "of the listener" });
});
