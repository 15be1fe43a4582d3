// Write schedulers for wvs in AssemblyScript: what there is. How it gets there is in abi.ts.
//
// A call is stopped after 250 ms (a pick after 2), and a plugin at 64 MiB of memory.

/** In a table: no backend takes this connection. */
export const NO_BACKEND: u32 = 0xffffffff;
/** Among latencies: not known. */
export const UNKNOWN_LATENCY: u32 = 0xffffffff;

export class Backend {
  constructor(
    public id: u32,
    /** 0 means: no new connections. */
    public weight: u32,
    /** Four words, the most significant first. IPv4 is IPv4-mapped, so address[3] alone is the IPv4 address. */
    public address: StaticArray<u32>,
    public port: u16,
    public isDraining: bool,
    public isDown: bool,
    public isOverloaded: bool,
  ) {}

  /** Whether new connections may go to it. */
  get isUsable(): bool {
    return this.weight > 0 && !this.isDraining && !this.isDown && !this.isOverloaded;
  }
}

/** A connection that opens. */
export class Flow {
  constructor(
    /** As in a backend. */
    public source: StaticArray<u32>,
    public destination: StaticArray<u32>,
    public sourcePort: u16,
    public destinationPort: u16,
    /** 6 TCP, 17 UDP, 132 SCTP. */
    public protocol: u8,
    /** The packet's firewall mark. */
    public mark: u32,
    /** The same on every director. */
    public hash: u32,
  ) {}
}

export class Param {
  constructor(public key: string, public value: string) {}
}

/** The declaration of a parameter. */
export class ParamSpec {
  private constructor(
    public key: string,
    public kind: u8,
    public min: i32,
    public max: i32,
    public words: string[],
    public fallback: string,
    public help: string,
  ) {}

  static text(key: string, fallback: string, help: string): ParamSpec {
    return new ParamSpec(key, 0, 0, 0, [], fallback, help);
  }

  static boolean(key: string, fallback: bool, help: string): ParamSpec {
    return new ParamSpec(key, 1, 0, 0, [], fallback.toString(), help);
  }

  static integer(key: string, min: i32, max: i32, fallback: i32, help: string): ParamSpec {
    return new ParamSpec(key, 2, min, max, [], fallback.toString(), help);
  }

  static choice(key: string, words: string[], help: string): ParamSpec {
    return new ParamSpec(key, 3, 0, 0, words, words[0], help);
  }
}

export class Description {
  constructor(public name: string, public version: string, public summary: string, public params: ParamSpec[] = []) {}
}

export enum HashKey { Source, SourceAndPort, Destination, Both }

/** How the data path uses the scheduler; or why it cannot be configured so. */
export class Dispatch {
  private constructor(public kind: u8, public key: u8, public error: string | null) {}

  /** New connections walk the table in order. */
  static cycle(): Dispatch { return new Dispatch(0, 0, null); }
  /** The table is indexed by a hash. */
  static hash(key: HashKey): Dispatch { return new Dispatch(1, <u8>key, null); }
  /** The scheduler is asked for each connection. */
  static perFlow(): Dispatch { return new Dispatch(2, 0, null); }
  /** A sentence for the operator. */
  static refuse(sentence: string): Dispatch { return new Dispatch(0, 0, sentence); }
}

/** What you write, and register. Functions that are not needed are left out; what is to be called has to be exported. */
export abstract class Scheduler {
  abstract describe(): Description;

  /** With every parameter. */
  abstract configure(params: Param[]): Dispatch;

  /** The full set of backends, whenever it changes. An error is a sentence for the operator; null is well. */
  abstract update(backends: Backend[]): string | null;

  /** Makes a table, for Dispatch.cycle and Dispatch.hash. */
  fill(table: StaticArray<u32>): string | null { return "it makes no tables"; }

  /** Who gets a connection, for Dispatch.perFlow; NO_BACKEND refuses it. It waits meanwhile. */
  pick(flow: Flow): u32 { return NO_BACKEND; }

  /** The connections of the backends, in the order of the last update. */
  observe(active: StaticArray<u32>, inactive: StaticArray<u32>): void {}

  /** After a fill: in so many milliseconds another one is wanted, if nothing happens before; 0 if none is. */
  due(): u32 { return 0; }

  /** Backends are measured every so many milliseconds, 100 at least. */
  interval(): u32 { return 1000; }

  /** In how many microseconds each took a connection just now, or UNKNOWN_LATENCY; in the order of the last update. */
  observeLatency(micros: StaticArray<u32>): void {}
}

export let scheduler!: Scheduler;

export function register(it: Scheduler): void { scheduler = it; }

// @ts-ignore: decorator
@external("wvs", "log") declare function hostLog(level: u32, at: usize, length: u32): void;
// @ts-ignore: decorator
@external("wvs", "random") export declare function random(): u32;
/** Seconds since the plugin was loaded. */
// @ts-ignore: decorator
@external("wvs", "now") export declare function now(): f64;

export enum Level { Error, Warn, Info, Debug }

export function log(level: Level, message: string): void {
  const bytes = String.UTF8.encode(message);
  hostLog(level, changetype<usize>(bytes), bytes.byteLength);
}
