"""{{name}}: a scheduler in Python that decides for each connection. Whoever has the fewest for its weight gets it.

wit/scheduler.wit says what a director calls and what it may answer, wit/plugin.wit which of it is here. An answer of `err`
is `raise Err("a sentence")`, with `from componentize_py_types import Err`.
"""

import gc
from heapq import heapify, heapreplace

from wit_world import exports
from wit_world.imports.types import BackendState, Description, Dispatch_PerFlow

# Counted references do here. A collection takes longer than a connection may wait.
gc.disable()

# Who takes new connections: ids, weights and places in the last update.
usable: list[tuple[int, int, int]] = []
# The same as a heap, whose first entry gets the next connection: how busy one more makes it, which one it is in the list
# above, and how many it has.
waiting: list[tuple[float, int, int]] = []


def order(connections):
    waiting[:] = [
        ((connections[place] + 1) / weight, n, connections[place]) for n, (_, weight, place) in enumerate(usable)
    ]
    heapify(waiting)


class Policy(exports.Policy):
    def describe(self):
        return Description(
            name="{{name}}",
            version="0.1.0",
            summary="whoever has the fewest connections for its weight gets the next",
            params=[],
        )

    def configure(self, params):
        return Dispatch_PerFlow()

    def update(self, backends):
        # No state, that is neither draining nor down nor overloaded.
        usable[:] = [
            (it.id, it.weight, place)
            for place, it in enumerate(backends)
            if it.weight > 0 and it.state == BackendState(0)
        ]
        # The connections are told right afterwards.
        order([0] * len(backends))


class Load(exports.Load):
    def observe(self, active, inactive):
        """The connections of each backend, in the order of the last update, from time to time."""
        order(active)


class Flows(exports.Flows):
    def pick(self, flow):
        """A connection waits for this: the less there is to do, the better. None refuses it."""
        if not waiting:
            return None
        _, n, connections = waiting[0]
        id, weight, _ = usable[n]
        # It is not in the counts yet.
        heapreplace(waiting, ((connections + 2) / weight, n, connections + 1))
        return id
