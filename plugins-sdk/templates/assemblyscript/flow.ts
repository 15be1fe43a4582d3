// {{name}}: a scheduler in AssemblyScript that decides for each connection. Whoever has the fewest for its weight gets it.

import { Backend, Description, Dispatch, Flow, NO_BACKEND, Param, Scheduler, register } from "./wvs";

// What the director is to call.
export { cabi_realloc, describe, configure, update, pick, observe } from "./abi";

/** Who takes new connections. The place is that in the last update. */
class Server {
  private connections: f64 = 0;
  private cost: f64 = 0;

  constructor(public id: u32, public weight: u32, public place: i32) {
    this.has(0);
  }

  /** How busy one more connection makes it goes by how many it has. */
  has(connections: f64): void {
    this.connections = connections;
    this.cost = (connections + 1) / <f64>this.weight;
  }

  oneMore(): void {
    this.has(this.connections + 1);
  }

  isBefore(other: Server): bool {
    return this.cost < other.cost || (this.cost == other.cost && this.place < other.place);
  }
}

class Mine extends Scheduler {
  /** A heap, whose first entry gets the next connection. */
  private usable: Server[] = [];

  describe(): Description {
    const summary = "whoever has the fewest connections for its weight gets the next";
    return new Description("{{name}}", "0.1.0", summary);
  }

  configure(params: Param[]): Dispatch {
    return Dispatch.perFlow();
  }

  /** The connections are told right afterwards. */
  update(backends: Backend[]): string | null {
    this.usable = [];
    for (let n = 0; n < backends.length; n++) {
      const backend = backends[n];
      if (backend.isUsable) this.usable.push(new Server(backend.id, backend.weight, n));
    }
    order(this.usable);
    return null;
  }

  /** The connections of each backend, in the order of the last update, from time to time. */
  observe(active: StaticArray<u32>, inactive: StaticArray<u32>): void {
    for (let n = 0; n < this.usable.length; n++) this.usable[n].has(<f64>active[this.usable[n].place]);
    order(this.usable);
  }

  /** A connection waits for this: the less there is to do, the better. */
  pick(flow: Flow): u32 {
    if (this.usable.length == 0) return NO_BACKEND;
    const next = this.usable[0];
    // It is not in the counts yet.
    next.oneMore();
    sink(this.usable, 0);
    return next.id;
  }
}

function order(heap: Server[]): void {
  for (let at = heap.length >> 1; at > 0; at--) sink(heap, at - 1);
}

/** Puts the entry at `at` where it belongs. */
function sink(heap: Server[], at: i32): void {
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
