// {{name}}: a scheduler in JavaScript. Everybody takes turns, as often as the weight says.
//
// wit/scheduler.wit says what a director calls and what it may answer, wit/plugin.wit which of it is here. Two things to
// know: numbers of 2³¹ and more arrive as negative ones (`x >>> 0` puts that right), and an answer of `err` is an exception.

const NO_BACKEND = 0xffffffff;

/** Who takes new connections: an id, a weight, and how many turns it has had in the table that is being filled. */
let usable = [];

export const policy = {
  describe() {
    return {
      name: "{{name}}",
      version: "0.1.0",
      summary: "everybody takes turns, as often as the weight says",
      params: [],
    };
  },

  configure(params) {
    return { tag: "cycle" };
  },

  update(backends) {
    usable = backends.filter(isUsable).map(({ id, weight }) => ({ id, weight: weight >>> 0 }));
  },
};

export const table = {
  fill(slots) {
    const answer = new Uint32Array(slots).fill(NO_BACKEND);
    if (usable.length === 0) return answer;
    const waiting = usable.map(({ id, weight }, place) => ({ id, weight, place, turns: 0, due: 0.5 / weight }));
    for (let at = waiting.length >> 1; at-- > 0; ) sink(waiting, at);
    for (let slot = 0; slot < slots; slot++) {
      const next = waiting[0];
      answer[slot] = next.id;
      // Its n-th turn is due at (n + ½) / weight: whoever weighs twice as much is due twice as often.
      next.turns += 1;
      next.due = (next.turns + 0.5) / next.weight;
      sink(waiting, 0);
    }
    return answer;
  },
};

function isUsable({ weight, state }) {
  return weight !== 0 && !state.draining && !state.down && !state.overloaded;
}

function before(one, other) {
  return one.due < other.due || (one.due === other.due && one.place < other.place);
}

/** Puts the entry at `at` where it belongs in a heap, whose first entry is due first. */
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
