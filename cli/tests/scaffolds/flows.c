/* Decides for each connection: by the port that was asked for, or if that is 0 whoever comes next. */
#define WVS_FLOWS
#include "wvs.h"

const struct wvs_description scheduler = {
  .name = WVS_TEXT("flows"), .version = WVS_TEXT("1.2.3"), .summary = WVS_TEXT("for tests of the header"),
};

static wvs_u32 usable[WVS_MAX_BACKENDS], count, turn;

const char *scheduler_configure(const struct wvs_param *params, wvs_u32 param_count, struct wvs_dispatch *dispatch) {
  (void)params, (void)param_count, (void)dispatch;
  return 0;
}

const char *scheduler_update(const struct wvs_backend *backends, wvs_u32 backend_count) {
  count = 0;
  for (wvs_u32 n = 0; n < backend_count; n++) if (wvs_usable(&backends[n])) usable[count++] = backends[n].id;
  return 0;
}

wvs_u32 scheduler_pick(const struct wvs_flow *flow) {
  if (count == 0) return WVS_NO_BACKEND;
  if (flow->destination_port != 0) return usable[flow->destination_port % count];
  return usable[turn++ % count];
}
