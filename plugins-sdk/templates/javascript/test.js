import assert from "node:assert/strict";
import { test } from "node:test";

import { policy, table } from "./{{name}}.js";

const well = { draining: false, down: false, overloaded: false };
const backend = (id, weight, state = {}) => ({ id, weight, state: { ...well, ...state } });

test("the heavier one gets more", () => {
  policy.update([backend(1, 2), backend(2, 1)]);
  assert.deepEqual([...table.fill(6)], [1, 2, 1, 1, 2, 1]);
});

test("nobody is named who takes no connections", () => {
  policy.update([backend(1, 0), backend(2, 1, { draining: true })]);
  assert.deepEqual([...table.fill(2)], [0xffffffff, 0xffffffff]);
});
