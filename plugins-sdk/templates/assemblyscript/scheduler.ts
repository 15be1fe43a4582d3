// {{name}}: a scheduler in AssemblyScript. Everybody takes turns, as often as the weight says.

import { Backend, Description, Dispatch, NO_BACKEND, Param, Scheduler, register } from "./wvs";

// What the director is to call.
export { cabi_realloc, describe, configure, update, fill } from "./abi";

/** Who takes new connections, and how many turns each has had in the table that is being filled. */
class Turn {
  turns: i32 = 0;
  due: f64 = 0;

  constructor(public id: u32, public weight: u32, public place: i32) {}

  /** Its n-th turn is due at (n + ½) / weight: who weighs twice as much is due twice as often. */
  had(turns: i32): void {
    this.turns = turns;
    this.due = (<f64>turns + 0.5) / <f64>this.weight;
  }

  isBefore(other: Turn): bool {
    return this.due < other.due || (this.due == other.due && this.place < other.place);
  }
}

class Mine extends Scheduler {
  private usable: Turn[] = [];

  describe(): Description {
    return new Description("{{name}}", "0.1.0", "everybody takes turns, as often as the weight says");
  }

  configure(params: Param[]): Dispatch {
    return Dispatch.cycle();
  }

  update(backends: Backend[]): string | null {
    this.usable = [];
    for (let n = 0; n < backends.length; n++) {
      const backend = backends[n];
      if (backend.isUsable) this.usable.push(new Turn(backend.id, backend.weight, this.usable.length));
    }
    return null;
  }

  fill(table: StaticArray<u32>): string | null {
    table.fill(NO_BACKEND);
    if (this.usable.length == 0) return null;
    const heap = this.usable.slice();
    for (let n = 0; n < heap.length; n++) heap[n].had(0);
    for (let at = heap.length >> 1; at > 0; at--) sink(heap, at - 1);
    for (let slot = 0; slot < table.length; slot++) {
      const next = heap[0];
      table[slot] = next.id;
      next.had(next.turns + 1);
      sink(heap, 0);
    }
    return null;
  }
}

/** Puts the entry at `at` where it belongs in a heap, whose first entry is due first. */
function sink(heap: Turn[], at: i32): void {
  const entry = heap[at];
  for (;;) {
    let child = 2 * at + 1;
    if (child + 1 < heap.length && heap[child + 1].isBefore(heap[child])) child++;
    if (child >= heap.length || !heap[child].isBefore(entry)) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = entry;
}

register(new Mine());
