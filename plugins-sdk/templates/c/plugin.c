/* {{name}}: a scheduler in C. Everybody takes turns, as often as the weight says. */
#include "wvs.h"

const struct wvs_description scheduler = {
  .name = WVS_TEXT("{{name}}"),
  .version = WVS_TEXT("0.1.0"),
  .summary = WVS_TEXT("everybody takes turns, as often as the weight says"),
};

static struct { wvs_u32 id, weight; long long credit; } usable[WVS_MAX_BACKENDS];
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
    usable[count].id = backends[n].id;
    usable[count].weight = backends[n].weight;
    count++;
  }
  return 0;
}

/* At every pick each backend gains its weight, and the one that then has most pays the sum of all weights: no bursts. */
const char *scheduler_fill(wvs_u32 *table, wvs_u32 slots) {
  long long total = 0;
  for (wvs_u32 n = 0; n < count; n++) {
    total += usable[n].weight;
    usable[n].credit = 0;
  }
  for (wvs_u32 slot = 0; slot < slots; slot++) {
    wvs_u32 richest = 0;
    for (wvs_u32 n = 0; n < count; n++) {
      usable[n].credit += usable[n].weight;
      if (usable[n].credit > usable[richest].credit) richest = n;
    }
    usable[richest].credit -= total;
    table[slot] = count > 0 ? usable[richest].id : WVS_NO_BACKEND;
  }
  return 0;
}
