/* Write schedulers for wvs in C: include this in one file, and define the functions below.
 *
 * There is no libc and nothing to link. What the director hands over is there until your function returns; keep copies
 * in variables of your own. A call is stopped after 250 ms (a pick after 2), and a plugin at 64 MiB of memory.
 */
#ifndef WVS_H
#define WVS_H

typedef unsigned char wvs_u8;
typedef unsigned short wvs_u16;
typedef unsigned int wvs_u32;
typedef int wvs_s32;

/* In a table: no backend takes this connection. */
#define WVS_NO_BACKEND 0xffffffffu
/* Among latencies: not known. */
#define WVS_UNKNOWN_LATENCY 0xffffffffu
/* Ids are unique and below this, so there are never more backends. */
#define WVS_MAX_BACKENDS 65536

/* UTF-8, not ended by 0. */
struct wvs_text { const char *at; wvs_u32 length; };
#define WVS_TEXT(literal) { literal, sizeof(literal) - 1 }

/* What a parameter may be. */
enum { WVS_ANY_TEXT, WVS_BOOLEAN, WVS_INTEGER, WVS_CHOICE };
struct wvs_param_spec {
  struct wvs_text key;
  wvs_u8 kind;
  union {
    struct { wvs_s32 min, max; } range;                        /* WVS_INTEGER */
    struct { const struct wvs_text *at; wvs_u32 count; } words; /* WVS_CHOICE */
  };
  struct wvs_text fallback; /* its value if the operator gives none */
  struct wvs_text help;
};

struct wvs_description {
  struct wvs_text name, version, summary;
  struct { const struct wvs_param_spec *at; wvs_u32 count; } params;
};

struct wvs_param { struct wvs_text key, value; };

/* Bits of `state`: keeps its flows and should get no new ones; failed its health check; at its threshold. */
enum { WVS_DRAINING = 1, WVS_DOWN = 2, WVS_OVERLOADED = 4 };
struct wvs_backend {
  wvs_u32 id, weight;
  wvs_u32 address[4]; /* IPv4 is IPv4-mapped, so address[3] alone is the IPv4 address */
  wvs_u16 port;
  wvs_u8 state;
};

/* How the data path uses the scheduler: walks its table, indexes it by a hash, or asks for each connection. */
enum { WVS_CYCLE, WVS_HASH, WVS_PER_FLOW };
enum { WVS_SOURCE, WVS_SOURCE_AND_PORT, WVS_DESTINATION, WVS_BOTH };
struct wvs_dispatch { wvs_u8 kind, key; };

/* A connection that opens. */
struct wvs_flow {
  wvs_u32 source[4], destination[4]; /* as in a backend */
  wvs_u16 source_port, destination_port;
  wvs_u8 protocol;    /* 6 TCP, 17 UDP, 132 SCTP */
  wvs_u32 mark, hash; /* the firewall mark, and a hash that is the same on every director */
};

_Static_assert(sizeof(struct wvs_backend) == 28, "a backend is 28 bytes");
_Static_assert(sizeof(struct wvs_param_spec) == 36, "the declaration of a parameter is 36 bytes");

/* Yours. An answer of 0 is well; else it is a sentence for the operator, ended by 0. Lists are there until you return. */

/* What the scheduler says of itself. */
extern const struct wvs_description scheduler;

/* Called once, before all else, with every parameter filled in. What is written to *dispatch says how it is used: it has
 * WVS_CYCLE, or with WVS_FLOWS defined WVS_PER_FLOW, unless you write something else. */
const char *scheduler_configure(const struct wvs_param *params, wvs_u32 count, struct wvs_dispatch *dispatch);

/* The full set of backends, whenever one comes, goes or changes. */
const char *scheduler_update(const struct wvs_backend *backends, wvs_u32 count);

/* Makes a table, for WVS_CYCLE and WVS_HASH: writes each of its slots, an id of the last update or WVS_NO_BACKEND. */
const char *scheduler_fill(wvs_u32 *table, wvs_u32 slots);

/* Define WVS_FLOWS before you include this if you decide for each connection, which waits meanwhile: then this stands
 * in the place of scheduler_fill. The answer is an id; WVS_NO_BACKEND refuses. */
wvs_u32 scheduler_pick(const struct wvs_flow *flow);

/* Define WVS_LOAD before you include this if you also have this one: the connections of each backend, in the order of the
 * last update. Active ones are established or on the way there, inactive ones all others. */
void scheduler_observe(const wvs_u32 *active, const wvs_u32 *inactive, wvs_u32 count);

/* Define WVS_TIMER before you include this if your tables change with time alone: in so many milliseconds after a fill
 * the next one comes, if nothing happens before; 0 if none is wanted. */
wvs_u32 scheduler_due(void);

/* Define WVS_LATENCY before you include this if you look at how fast backends answer. How often they are measured, in
 * milliseconds, 100 at least; asked once. */
wvs_u32 scheduler_interval(void);

/* With it: in how many microseconds each took a connection just now, WVS_UNKNOWN_LATENCY if that is not known, in the order
 * of the last update. */
void scheduler_observe_latency(const wvs_u32 *micros, wvs_u32 count);

/* The director's. */
enum { WVS_ERROR, WVS_WARN, WVS_INFO, WVS_DEBUG };
/* A line for its log: UTF-8 of that length. */
__attribute__((import_module("wvs"), import_name("log"))) void wvs_log(wvs_u32 level, const char *at, wvs_u32 length);
/* A random number, which repeats with the director's seed. */
__attribute__((import_module("wvs"), import_name("random"))) wvs_u32 wvs_random(void);
/* Seconds since the plugin was loaded. */
__attribute__((import_module("wvs"), import_name("now"))) double wvs_now(void);

/* Whether new connections may go to it. */
static inline int wvs_usable(const struct wvs_backend *backend) {
  return backend->weight > 0 && backend->state == 0;
}

/* Whether a text is this word. */
static inline int wvs_is(struct wvs_text text, const char *word) {
  wvs_u32 n = 0;
  while (n < text.length && word[n] != 0 && text.at[n] == word[n]) n++;
  return n == text.length && word[n] == 0;
}

/* From here on it is between the director and this header. */

extern wvs_u8 __heap_base;
static wvs_u8 *wvs_heap = &__heap_base;
static struct { wvs_u8 failed; const void *at; wvs_u32 length; } wvs_result;
static struct { wvs_u8 failed; union { struct wvs_dispatch dispatch; struct wvs_text error; }; } wvs_configured;

static void *wvs_take(wvs_u32 size) {
  wvs_u8 *at = wvs_heap;
  wvs_heap = (wvs_u8 *)(((wvs_u32)at + size + 7) & ~7u);
  wvs_u32 pages = ((wvs_u32)wvs_heap + 65535) / 65536, have = __builtin_wasm_memory_size(0);
  if (pages > have && __builtin_wasm_memory_grow(0, pages - have) == (unsigned long)-1) __builtin_trap();
  return at;
}

/* Arguments are done with when a call ends; a result is read before the next one. */
static void wvs_forget(void) { wvs_heap = (wvs_u8 *)(((wvs_u32)&__heap_base + 7) & ~7u); }

static struct wvs_text wvs_sentence(const char *at) {
  wvs_u32 length = 0;
  while (at[length] != 0) length++;
  return (struct wvs_text){ at, length };
}

static void *wvs_answer(const char *error, const void *at, wvs_u32 length) {
  struct wvs_text text = { (const char *)at, length };
  if (error) text = wvs_sentence(error);
  wvs_result.failed = error != 0;
  wvs_result.at = text.at;
  wvs_result.length = text.length;
  wvs_forget();
  return &wvs_result;
}

__attribute__((export_name("cabi_realloc")))
void *wvs_cabi_realloc(void *old, wvs_u32 old_size, wvs_u32 align, wvs_u32 size) {
  (void)old, (void)old_size, (void)align;
  return wvs_take(size);
}

__attribute__((export_name("describe"))) const void *wvs_describe(void) { return &scheduler; }

__attribute__((export_name("configure"))) void *wvs_configure(const struct wvs_param *params, wvs_u32 count) {
#ifdef WVS_FLOWS
  struct wvs_dispatch dispatch = { WVS_PER_FLOW, WVS_SOURCE };
#else
  struct wvs_dispatch dispatch = { WVS_CYCLE, WVS_SOURCE };
#endif
  const char *error = scheduler_configure(params, count, &dispatch);
  wvs_configured.failed = error != 0;
  if (error) wvs_configured.error = wvs_sentence(error);
  else wvs_configured.dispatch = dispatch;
  wvs_forget();
  return &wvs_configured;
}

__attribute__((export_name("update"))) void *wvs_update(const struct wvs_backend *backends, wvs_u32 count) {
  return wvs_answer(scheduler_update(backends, count), 0, 0);
}

#ifdef WVS_FLOWS
static struct { wvs_u8 some; wvs_u32 id; } wvs_picked;

__attribute__((export_name("pick")))
void *wvs_pick(wvs_u32 sa, wvs_u32 sb, wvs_u32 sc, wvs_u32 sd, wvs_u32 da, wvs_u32 db, wvs_u32 dc, wvs_u32 dd,
               wvs_u32 source_port, wvs_u32 destination_port, wvs_u32 protocol, wvs_u32 mark, wvs_u32 hash) {
  struct wvs_flow flow = {
    { sa, sb, sc, sd }, { da, db, dc, dd }, (wvs_u16)source_port, (wvs_u16)destination_port, (wvs_u8)protocol, mark, hash,
  };
  wvs_picked.id = scheduler_pick(&flow);
  wvs_picked.some = wvs_picked.id != WVS_NO_BACKEND;
  return &wvs_picked;
}
#else
__attribute__((export_name("fill"))) void *wvs_fill(wvs_u32 slots) {
  wvs_u32 *table = wvs_take(slots * sizeof(wvs_u32));
  return wvs_answer(scheduler_fill(table, slots), table, slots);
}
#endif

#ifdef WVS_LOAD
__attribute__((export_name("observe")))
void wvs_observe(const wvs_u32 *active, wvs_u32 count, const wvs_u32 *inactive, wvs_u32 same_count) {
  (void)same_count;
  scheduler_observe(active, inactive, count);
  wvs_forget();
}
#endif

#ifdef WVS_TIMER
__attribute__((export_name("due"))) wvs_u32 wvs_due(void) { return scheduler_due(); }
#endif

#ifdef WVS_LATENCY
__attribute__((export_name("interval"))) wvs_u32 wvs_interval(void) { return scheduler_interval(); }

__attribute__((export_name("observe-latency"))) void wvs_observe_latency(const wvs_u32 *micros, wvs_u32 count) {
  scheduler_observe_latency(micros, count);
  wvs_forget();
}
#endif

#endif
