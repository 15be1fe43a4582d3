/* For tests of the header: parameters of each kind, connections, latencies, a timer, refusals, the host.
 *
 * All slots are one backend's: the fastest, of equals that with the fewest connections, of equals the first. */
#define WVS_LOAD
#define WVS_TIMER
#define WVS_LATENCY
#include "wvs.h"

static const struct wvs_text words[] = { WVS_TEXT("first"), WVS_TEXT("idlest") };
static const struct wvs_param_spec params[] = {
  { .key = WVS_TEXT("who"), .kind = WVS_CHOICE, .words = { words, 2 }, .fallback = WVS_TEXT("idlest"), .help = WVS_TEXT("who it is") },
  { .key = WVS_TEXT("size"), .kind = WVS_INTEGER, .range = { -3, 7 }, .fallback = WVS_TEXT("0"), .help = WVS_TEXT("tenths of a second until the next table") },
  { .key = WVS_TEXT("hashed"), .kind = WVS_BOOLEAN, .fallback = WVS_TEXT("false"), .help = WVS_TEXT("by the port too") },
  { .key = WVS_TEXT("note"), .kind = WVS_ANY_TEXT, .fallback = WVS_TEXT(""), .help = WVS_TEXT("refused if it is bad") },
};
const struct wvs_description scheduler = {
  WVS_TEXT("everything"), WVS_TEXT("1.2.3"), WVS_TEXT("for tests of the header"), { params, 4 },
};

static struct wvs_backend known[WVS_MAX_BACKENDS];
static wvs_u32 active_now[WVS_MAX_BACKENDS], micros_now[WVS_MAX_BACKENDS], count, first, pause;

const char *scheduler_configure(const struct wvs_param *given, wvs_u32 given_count, struct wvs_dispatch *dispatch) {
  for (wvs_u32 n = 0; n < given_count; n++) {
    if (wvs_is(given[n].key, "note") && wvs_is(given[n].value, "bad")) return "note must not be bad";
    if (wvs_is(given[n].key, "who")) first = wvs_is(given[n].value, "first");
    if (wvs_is(given[n].key, "size")) {
      char digit = given[n].value.at[given[n].value.length - 1];
      pause = given[n].value.at[0] == '-' ? 0 : 100 * (wvs_u32)(digit - '0');
    }
    if (wvs_is(given[n].key, "hashed") && wvs_is(given[n].value, "true")) {
      dispatch->kind = WVS_HASH;
      dispatch->key = WVS_SOURCE_AND_PORT;
    }
  }
  if (wvs_now() < 0 || wvs_random() == wvs_random()) wvs_log(WVS_WARN, "how odd", 7);
  return 0;
}

const char *scheduler_update(const struct wvs_backend *backends, wvs_u32 backend_count) {
  for (count = 0; count < backend_count; count++) {
    known[count] = backends[count];
    active_now[count] = 0;
    micros_now[count] = WVS_UNKNOWN_LATENCY;
  }
  return 0;
}

void scheduler_observe(const wvs_u32 *active, const wvs_u32 *inactive, wvs_u32 observed) {
  (void)inactive;
  for (wvs_u32 n = 0; n < observed && n < count; n++) active_now[n] = active[n];
}

wvs_u32 scheduler_due(void) { return pause; }

wvs_u32 scheduler_interval(void) { return 250; }

void scheduler_observe_latency(const wvs_u32 *micros, wvs_u32 measured) {
  for (wvs_u32 n = 0; n < measured && n < count; n++) micros_now[n] = micros[n];
}

/* Whether it is better than what is best so far. */
static int is_better(wvs_u32 one, wvs_u32 best) {
  return micros_now[one] < micros_now[best] ||
    (micros_now[one] == micros_now[best] && active_now[one] < active_now[best]);
}

const char *scheduler_fill(wvs_u32 *table, wvs_u32 slots) {
  wvs_u32 best = count;
  for (wvs_u32 n = 0; n < count; n++) {
    if (!wvs_usable(&known[n]) || (first && best < count)) continue;
    if (best == count || is_better(n, best)) best = n;
  }
  for (wvs_u32 slot = 0; slot < slots; slot++) table[slot] = best < count ? known[best].id : WVS_NO_BACKEND;
  return 0;
}
