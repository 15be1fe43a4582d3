// For tests of what JavaScript gets: parameters of each kind, connections, latencies, a timer, refusals, the host.
//
// All slots are one backend's: the fastest, of equals that with the fewest connections, of equals the first.

import { log, now, random } from "wvs:scheduler/host@0.1.0";

let known = [];
let first = false;
let pause = 0;

export const policy = {
  describe() {
    return {
      name: "everything",
      version: "1.2.3",
      summary: "for tests of the glue",
      params: [
        { key: "who", kind: { tag: "choice", val: ["first", "idlest"] }, default: "idlest", help: "who it is" },
        {
          key: "size",
          kind: { tag: "integer", val: { min: -3, max: 7 } },
          default: "0",
          help: "tenths of a second until the next table",
        },
        { key: "hashed", kind: { tag: "boolean" }, default: "false", help: "by the port too" },
        { key: "note", kind: { tag: "text" }, default: "", help: "refused if it is bad" },
      ],
    };
  },

  configure(params) {
    const given = Object.fromEntries(params.map(({ key, value }) => [key, value]));
    if (given.note === "bad") throw "note must not be bad";
    first = given.who === "first";
    pause = 100 * Math.max(Number(given.size), 0);
    if (now() < 0 || random() === random()) log("warn", "how odd");
    return given.hashed === "true" ? { tag: "hash", val: "source-and-port" } : { tag: "cycle" };
  },

  update(backends) {
    known = backends.map((backend) => ({ ...backend, active: 0, micros: 0xffffffff }));
  },
};

export const load = {
  observe(active, inactive) {
    known.forEach((it, n) => (it.active = active[n] >>> 0));
  },
};

export const timer = {
  due() {
    return pause;
  },
};

export const latency = {
  interval() {
    return 250;
  },
  observeLatency(micros) {
    known.forEach((it, n) => (it.micros = micros[n] >>> 0));
  },
};

export const table = {
  fill(slots) {
    let best;
    for (const it of known) {
      const usable = it.weight !== 0 && !it.state.draining && !it.state.down && !it.state.overloaded;
      if (!usable || (first && best)) continue;
      if (!best || it.micros < best.micros || (it.micros === best.micros && it.active < best.active)) best = it;
    }
    return new Uint32Array(slots).fill(best ? best.id : 0xffffffff);
  },
};
