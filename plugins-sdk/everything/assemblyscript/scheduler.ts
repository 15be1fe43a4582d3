// For tests of wvs.ts and abi.ts: parameters of each kind, connections, latencies, a timer, refusals, the host.
//
// All slots are one backend's: the fastest, of equals that with the fewest connections, of equals the first.

import {
  Backend, Description, Dispatch, HashKey, Level, NO_BACKEND, Param, ParamSpec, Scheduler, UNKNOWN_LATENCY, log, now, random,
  register,
} from "./wvs";

export {
  cabi_realloc, describe, configure, update, fill, observe, due, interval, observe_latency,
} from "./abi";

class Everything extends Scheduler {
  private backends: Backend[] = [];
  private active: StaticArray<u32> = new StaticArray<u32>(0);
  private micros: StaticArray<u32> = new StaticArray<u32>(0);
  private first: bool = false;
  private pause: u32 = 0;

  describe(): Description {
    return new Description("everything", "1.2.3", "for tests of the glue", [
      ParamSpec.choice("who", ["idlest", "first"], "who it is"),
      ParamSpec.integer("size", -3, 7, 0, "tenths of a second until the next table"),
      ParamSpec.boolean("hashed", false, "by the port too"),
      ParamSpec.text("note", "", "refused if it is bad"),
    ]);
  }

  configure(params: Param[]): Dispatch {
    let hashed = false;
    for (let n = 0; n < params.length; n++) {
      const key = params[n].key, value = params[n].value;
      if (key == "note" && value == "bad") return Dispatch.refuse("note must not be bad");
      if (key == "who") this.first = value == "first";
      if (key == "hashed") hashed = value == "true";
      if (key == "size") this.pause = 100 * max<i32>(I32.parseInt(value), 0);
    }
    if (now() < 0 || random() == random()) log(Level.Warn, "how odd");
    return hashed ? Dispatch.hash(HashKey.SourceAndPort) : Dispatch.cycle();
  }

  update(backends: Backend[]): string | null {
    this.backends = backends;
    this.active = new StaticArray<u32>(backends.length);
    this.micros = new StaticArray<u32>(backends.length);
    this.micros.fill(UNKNOWN_LATENCY);
    return null;
  }

  observe(active: StaticArray<u32>, inactive: StaticArray<u32>): void { this.active = active; }

  due(): u32 { return this.pause; }

  interval(): u32 { return 250; }

  observeLatency(micros: StaticArray<u32>): void { this.micros = micros; }

  fill(table: StaticArray<u32>): string | null {
    let best = -1;
    for (let n = 0; n < this.backends.length; n++) {
      if (!this.backends[n].isUsable || (this.first && best >= 0)) continue;
      if (best < 0 || this.isBetter(n, best)) best = n;
    }
    table.fill(best < 0 ? NO_BACKEND : this.backends[best].id);
    return null;
  }

  private isBetter(one: i32, other: i32): bool {
    const mine = this.micros[one], theirs = this.micros[other];
    return mine < theirs || (mine == theirs && this.active[one] < this.active[other]);
  }
}

register(new Everything());
