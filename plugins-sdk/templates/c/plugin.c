/* {{name}}: a scheduler in C. Everybody takes turns, as often as the weight says. */
#include "wvs.h"

const struct wvs_description scheduler = {
  .name = WVS_TEXT("{{name}}"),
  .version = WVS_TEXT("0.1.0"),
  .summary = WVS_TEXT("everybody takes turns, as often as the weight says"),
};

/* Who takes new connections, and how many turns each has had in the table that is being filled. */
struct turn { wvs_u32 id, weight, place, turns; };
static struct turn usable[WVS_MAX_BACKENDS];
static wvs_u32 count;

const char *scheduler_configure(const struct wvs_param *params, wvs_u32 param_count, struct wvs_dispatch *dispatch) {
  (void)params, (void)param_count;
  dispatch->kind = WVS_CYCLE;
  return 0;
}

const char *scheduler_update(const struct wvs_backend *backends, wvs_u32 backend_count) {
  count = 0;
  for (wvs_u32 n = 0; n < backend_count && count < WVS_MAX_BACKENDS; n++) {
    if (!wvs_usable(&backends[n])) continue;
    usable[count] = (struct turn){ backends[n].id, backends[n].weight, count, 0 };
    count++;
  }
  return 0;
}

/* The n-th turn is due at (n + 1/2) / weight: who weighs twice as much is due twice as often. */
static double due(const struct turn *it) { return (it->turns + 0.5) / it->weight; }

static int is_before(const struct turn *one, const struct turn *other) {
  return due(one) < due(other) || (due(one) == due(other) && one->place < other->place);
}

/* Puts the entry at `at` where it belongs in a heap, whose first entry is due first. */
static void sink(wvs_u32 at) {
  struct turn entry = usable[at];
  for (;;) {
    wvs_u32 child = 2 * at + 1;
    if (child + 1 < count && is_before(&usable[child + 1], &usable[child])) child++;
    if (child >= count || !is_before(&usable[child], &entry)) break;
    usable[at] = usable[child];
    at = child;
  }
  usable[at] = entry;
}

const char *scheduler_fill(wvs_u32 *table, wvs_u32 slots) {
  for (wvs_u32 n = 0; n < count; n++) usable[n].turns = 0;
  for (wvs_u32 at = count / 2; at-- > 0;) sink(at);
  for (wvs_u32 slot = 0; slot < slots; slot++) {
    table[slot] = WVS_NO_BACKEND;
    if (count == 0) continue;
    table[slot] = usable[0].id;
    usable[0].turns++;
    sink(0);
  }
  return 0;
}
