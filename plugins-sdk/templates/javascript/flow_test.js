import assert from "node:assert/strict";
import { test } from "node:test";

import { flows, load, policy } from "./{{name}}.js";

const well = { draining: false, down: false, overloaded: false };
const backend = (id, weight, state = {}) => ({ id, weight, state: { ...well, ...state } });
const picks = (count) => Array.from({ length: count }, () => flows.pick({}));

test("the heavier one gets more", () => {
  policy.update([backend(1, 2), backend(2, 1)]);
  assert.deepEqual(picks(6), [1, 1, 2, 1, 1, 2]);
});

test("who has many connections gets none", () => {
  policy.update([backend(1, 2), backend(2, 1)]);
  load.observe([5, 0], [0, 0]);
  assert.deepEqual(picks(3), [2, 2, 1]);
});

test("nobody is named who takes no connections", () => {
  policy.update([backend(1, 0), backend(2, 1, { draining: true })]);
  assert.deepEqual(picks(1), [undefined]);
});
