// {{name}}: a scheduler in JavaScript that decides for each connection. Whoever has the fewest for its weight gets it.
//
// wit/scheduler.wit says what a director calls and what it may answer, wit/plugin.wit which of it is here. Two things to
// know: numbers of 2³¹ and more arrive as negative ones (`x >>> 0` puts that right), and an answer of `err` is an exception.

/** Who takes new connections: a heap, whose first entry gets the next. The place is that in the last update. */
let usable = [];

export const policy = {
  describe() {
    return {
      name: "{{name}}",
      version: "0.1.0",
      summary: "whoever has the fewest connections for its weight gets the next",
      params: [],
    };
  },

  configure(params) {
    return { tag: "per-flow" };
  },

  /** The connections are told right afterwards. */
  update(backends) {
    usable = backends
      .map(({ id, weight, state }, place) => ({ id, weight: weight >>> 0, state, place, connections: 0 }))
      .filter(isUsable);
    order(usable);
  },
};

export const load = {
  /** The connections of each backend, in the order of the last update, from time to time. */
  observe(active, inactive) {
    for (const it of usable) it.connections = active[it.place] >>> 0;
    order(usable);
  },
};

export const flows = {
  /** A connection waits for this: the less there is to do, the better. Without an answer it is refused. */
  pick(flow) {
    if (usable.length === 0) return undefined;
    const next = usable[0];
    // It is not in the counts yet.
    next.connections += 1;
    sink(usable, 0);
    return next.id;
  },
};

function isUsable({ weight, state }) {
  return weight !== 0 && !state.draining && !state.down && !state.overloaded;
}

/** How busy one more connection makes it. */
function cost({ connections, weight }) {
  return (connections + 1) / weight;
}

function before(one, other) {
  const mine = cost(one);
  const theirs = cost(other);
  return mine < theirs || (mine === theirs && one.place < other.place);
}

function order(heap) {
  for (let at = heap.length >> 1; at-- > 0; ) sink(heap, at);
}

/** Puts the entry at `at` where it belongs. */
function sink(heap, at) {
  const entry = heap[at];
  for (;;) {
    let child = 2 * at + 1;
    if (child + 1 < heap.length && before(heap[child + 1], heap[child])) child += 1;
    if (child >= heap.length || !before(heap[child], entry)) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = entry;
}
