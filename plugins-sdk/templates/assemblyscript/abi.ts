// Between the director and {{name}}.ts: the canonical ABI. Nothing here has to be changed; {{name}}.ts exports what it wants
// to be called of it.

import { Backend, Description, Flow, Level, NO_BACKEND, Param, log, scheduler } from "./wvs";

/** Arguments, which the director writes before the call; done with when the next one begins. */
const given: usize[] = [];

export function cabi_realloc(old: usize, oldSize: usize, align: usize, size: usize): usize {
  // Nothing, too, is at an address.
  if (size == 0) return align;
  const at = heap.alloc(size);
  given.push(at);
  return at;
}

/** The end of a call: no variable of it is left, so that whatever is not kept can go. */
function over(): void {
  for (let n = 0; n < given.length; n++) heap.free(given[n]);
  given.length = 0;
  __collect();
}

// Whatever the director is still to read is held by these until the next call.
const answer = new StaticArray<u32>(3);
let table = new StaticArray<u32>(0);
let sentence = new ArrayBuffer(0);
let description = new Words();

/** result<list<u32>, string>, of which result<_, string> is a part. */
function reply(error: string | null): usize {
  answer[0] = error == null ? 0 : 1;
  if (error == null) {
    answer[1] = changetype<u32>(table);
    answer[2] = table.length;
  } else {
    sentence = String.UTF8.encode(error);
    answer[1] = changetype<u32>(sentence);
    answer[2] = sentence.byteLength;
  }
  over();
  return changetype<usize>(answer);
}

export function describe(): usize {
  const it = scheduler.describe();
  description = new Words();
  write(description, it);
  return description.at;
}

function write(words: Words, it: Description): void {
  words.text(it.name);
  words.text(it.version);
  words.text(it.summary);
  const params = new Words();
  for (let n = 0; n < it.params.length; n++) {
    const spec = it.params[n];
    params.text(spec.key);
    params.word(spec.kind);
    if (spec.kind == 3) {
      const choices = new Words();
      for (let m = 0; m < spec.words.length; m++) choices.text(spec.words[m]);
      params.list(choices, spec.words.length);
    } else {
      params.word(spec.min);
      params.word(spec.max);
    }
    params.text(spec.fallback);
    params.text(spec.help);
  }
  words.list(params, it.params.length);
}

export function configure(at: usize, count: u32): usize {
  const params: Param[] = [];
  for (let n: u32 = 0; n < count; n++, at += 16) params.push(new Param(text(at), text(at + 8)));
  const dispatch = scheduler.configure(params);
  if (dispatch.error != null) return reply(dispatch.error);
  answer[0] = 0;
  answer[1] = <u32>dispatch.kind | (<u32>dispatch.key << 8);
  over();
  return changetype<usize>(answer);
}

export function update(at: usize, count: u32): usize {
  const backends = new Array<Backend>(count);
  for (let n: u32 = 0; n < count; n++, at += 28) {
    const address: StaticArray<u32> = [load<u32>(at, 8), load<u32>(at, 12), load<u32>(at, 16), load<u32>(at, 20)];
    const state = load<u8>(at, 26);
    const isDraining = (state & 1) != 0, isDown = (state & 2) != 0, isOverloaded = (state & 4) != 0;
    backends[n] = new Backend(
      load<u32>(at), load<u32>(at, 4), address, load<u16>(at, 24), isDraining, isDown, isOverloaded,
    );
  }
  return reply(scheduler.update(backends));
}

export function fill(slots: u32): usize {
  table = new StaticArray<u32>(slots);
  return reply(scheduler.fill(table));
}

export function pick(
  sa: u32, sb: u32, sc: u32, sd: u32, da: u32, db: u32, dc: u32, dd: u32,
  sourcePort: u32, destinationPort: u32, protocol: u32, mark: u32, hash: u32,
): usize {
  const source: StaticArray<u32> = [sa, sb, sc, sd], destination: StaticArray<u32> = [da, db, dc, dd];
  const flow = new Flow(source, destination, <u16>sourcePort, <u16>destinationPort, <u8>protocol, mark, hash);
  answer[1] = scheduler.pick(flow);
  answer[0] = answer[1] == NO_BACKEND ? 0 : 1;
  // A connection waits: garbage is collected once in so many picks only.
  if (++picks % 1024 == 0) over();
  return changetype<usize>(answer);
}
let picks: u32 = 0;

export function observe(active: usize, count: u32, inactive: usize, sameCount: u32): void {
  scheduler.observe(numbers(active, count), numbers(inactive, sameCount));
  over();
}

export function due(): u32 {
  return scheduler.due();
}

export function interval(): u32 {
  return scheduler.interval();
}

export function observe_latency(micros: usize, count: u32): void {
  scheduler.observeLatency(numbers(micros, count));
  over();
}

function numbers(at: usize, count: u32): StaticArray<u32> {
  const all = new StaticArray<u32>(count);
  memory.copy(changetype<usize>(all), at, <usize>count << 2);
  return all;
}

function text(at: usize): string {
  return String.UTF8.decodeUnsafe(load<u32>(at), load<u32>(at, 4));
}

/** Words in a row, and what they point at. */
class Words {
  private words: Array<u32> = [];
  private held: Array<ArrayBuffer> = [];
  private inside: Array<Words> = [];

  get at(): usize { return this.words.dataStart; }

  word(word: u32): void { this.words.push(word); }

  text(text: string): void {
    const bytes = String.UTF8.encode(text);
    this.held.push(bytes);
    this.word(changetype<u32>(bytes));
    this.word(bytes.byteLength);
  }

  list(items: Words, count: i32): void {
    this.inside.push(items);
    // Nothing, too, is at an address.
    this.word(count > 0 ? <u32>items.at : 4);
    this.word(count);
  }
}

/** A panic's message goes to the log. */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const what = message == null ? "abort" : message;
  const where = file == null ? "" : ` at ${file}:${line}:${column}`;
  log(Level.Error, what + where);
  unreachable();
}
