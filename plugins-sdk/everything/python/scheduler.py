"""For tests of what Python gets: parameters of each kind, connections, latencies, a timer, refusals, the host.

All slots are one backend's: the fastest, of equals that with the fewest connections, of equals the first.
"""

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import host
from wit_world.imports.types import (
    BackendState,
    Description,
    Dispatch_Cycle,
    Dispatch_Hash,
    HashKey,
    ParamKind_Boolean,
    ParamKind_Choice,
    ParamKind_Integer,
    ParamKind_Text,
    ParamSpec,
    Range,
)

UNKNOWN = 0xFFFFFFFF


class State:
    backends = []
    active = []
    micros = []
    first = False
    pause = 0


class Policy(exports.Policy):
    def describe(self):
        return Description(
            name="everything",
            version="1.2.3",
            summary="for tests of the glue",
            params=[
                ParamSpec("who", ParamKind_Choice(["first", "idlest"]), "idlest", "who it is"),
                ParamSpec("size", ParamKind_Integer(Range(-3, 7)), "0", "tenths of a second until the next table"),
                ParamSpec("hashed", ParamKind_Boolean(), "false", "by the port too"),
                ParamSpec("note", ParamKind_Text(), "", "refused if it is bad"),
            ],
        )

    def configure(self, params):
        given = {it.key: it.value for it in params}
        if given["note"] == "bad":
            raise Err("note must not be bad")
        State.first = given["who"] == "first"
        State.pause = 100 * max(int(given["size"]), 0)
        if host.now() < 0 or host.random() == host.random():
            host.log(host.Level.WARN, "how odd")
        return Dispatch_Hash(HashKey.SOURCE_AND_PORT) if given["hashed"] == "true" else Dispatch_Cycle()

    def update(self, backends):
        State.backends = backends
        State.active = [0] * len(backends)
        State.micros = [UNKNOWN] * len(backends)


class Load(exports.Load):
    def observe(self, active, inactive):
        State.active = active


class Timer(exports.Timer):
    def due(self):
        return State.pause


class Latency(exports.Latency):
    def interval(self):
        return 250

    def observe_latency(self, micros):
        State.micros = micros


class Table(exports.Table):
    def fill(self, slots):
        usable = [n for n, it in enumerate(State.backends) if it.weight > 0 and it.state == BackendState(0)]
        if not usable:
            return [0xFFFFFFFF] * slots
        best = usable[0] if State.first else min(usable, key=lambda n: (State.micros[n], State.active[n], n))
        return [State.backends[best].id] * slots
