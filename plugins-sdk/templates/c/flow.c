/* {{name}}: a scheduler in C that decides for each connection. Whoever has the fewest for its weight gets it. */
#define WVS_FLOWS
#define WVS_LOAD
#include "wvs.h"

const struct wvs_description scheduler = {
  .name = WVS_TEXT("{{name}}"),
  .version = WVS_TEXT("0.1.0"),
  .summary = WVS_TEXT("whoever has the fewest connections for its weight gets the next"),
};

/* Who takes new connections: a heap, whose first entry gets the next. The place is that in the last update. */
struct server { double connections; wvs_u32 id, weight, place; };
static struct server usable[WVS_MAX_BACKENDS];
static wvs_u32 count;

/* How busy one more connection makes it. */
static double cost(const struct server *it) { return (it->connections + 1) / it->weight; }

static int is_before(const struct server *one, const struct server *other) {
  return cost(one) < cost(other) || (cost(one) == cost(other) && one->place < other->place);
}

/* Puts the entry at `at` where it belongs. */
static void sink(wvs_u32 at) {
  struct server entry = usable[at];
  for (;;) {
    wvs_u32 child = 2 * at + 1;
    if (child + 1 < count && is_before(&usable[child + 1], &usable[child])) child++;
    if (child >= count || !is_before(&usable[child], &entry)) break;
    usable[at] = usable[child];
    at = child;
  }
  usable[at] = entry;
}

static void order(void) {
  for (wvs_u32 at = count / 2; at-- > 0;) sink(at);
}

const char *scheduler_configure(const struct wvs_param *params, wvs_u32 param_count, struct wvs_dispatch *dispatch) {
  (void)params, (void)param_count;
  dispatch->kind = WVS_PER_FLOW;
  return 0;
}

/* The connections are told right afterwards. */
const char *scheduler_update(const struct wvs_backend *backends, wvs_u32 backend_count) {
  count = 0;
  for (wvs_u32 n = 0; n < backend_count && count < WVS_MAX_BACKENDS; n++) {
    if (!wvs_usable(&backends[n])) continue;
    usable[count++] = (struct server){ 0, backends[n].id, backends[n].weight, n };
  }
  order();
  return 0;
}

/* The connections of each backend, in the order of the last update, from time to time. */
void scheduler_observe(const wvs_u32 *active, const wvs_u32 *inactive, wvs_u32 backend_count) {
  (void)inactive, (void)backend_count;
  for (wvs_u32 n = 0; n < count; n++) usable[n].connections = active[usable[n].place];
  order();
}

/* A connection waits for this: the less there is to do, the better. */
wvs_u32 scheduler_pick(const struct wvs_flow *flow) {
  (void)flow;
  if (count == 0) return WVS_NO_BACKEND;
  wvs_u32 id = usable[0].id;
  /* It is not in the counts yet. */
  usable[0].connections += 1;
  sink(0);
  return id;
}
