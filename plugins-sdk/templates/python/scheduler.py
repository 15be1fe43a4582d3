"""{{name}}: a scheduler in Python. Everybody takes turns, as often as the weight says.

wit/scheduler.wit says what a director calls and what it may answer, wit/plugin.wit which of it is here. An answer of `err`
is `raise Err("a sentence")`, with `from componentize_py_types import Err`.
"""

from heapq import heapify, heapreplace

from wit_world import exports
from wit_world.imports.types import BackendState, Description, Dispatch_Cycle

NO_BACKEND = 0xFFFFFFFF

# Who takes new connections: ids and weights.
usable: list[tuple[int, int]] = []


class Policy(exports.Policy):
    def describe(self):
        return Description(
            name="{{name}}",
            version="0.1.0",
            summary="everybody takes turns, as often as the weight says",
            params=[],
        )

    def configure(self, params):
        return Dispatch_Cycle()

    def update(self, backends):
        # No state, that is neither draining nor down nor overloaded.
        usable[:] = [(it.id, it.weight) for it in backends if it.weight > 0 and it.state == BackendState(0)]


class Table(exports.Table):
    def fill(self, slots):
        if not usable:
            return [NO_BACKEND] * slots
        table = []
        # The n-th turn of a backend is due at (n + ½) / weight: who weighs twice as much is due twice as often.
        waiting = [(0.5 / weight, place, 0) for place, (_, weight) in enumerate(usable)]
        heapify(waiting)
        for _ in range(slots):
            _, place, turns = waiting[0]
            id, weight = usable[place]
            table.append(id)
            heapreplace(waiting, ((turns + 1.5) / weight, place, turns + 1))
        return table
