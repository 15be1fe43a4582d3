/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0 */
/* Reports of single packets for user space: which backend was chosen, and what was lost. One in so many, drawn by lot. */
#pragma once
#include "flow.h"

INLINE void report(struct __sk_buff *skb, const struct packet *p, const struct settings *s, __u32 what, __u32 service,
		   __u32 backend)
{
	struct report *r;

	if (bpf_get_prandom_u32() % s->report_every)
		return;
	r = bpf_ringbuf_reserve(&reports, sizeof(*r), 0);
	if (!r) {
		count(EVENT_UNREPORTED);
		return;
	}
	r->key = p->key;
	r->tick = ticks();
	r->ifindex = skb->ifindex;
	r->mark = skb->mark;
	r->length = p->len;
	r->what = what;
	r->service = service;
	r->backend = backend;
	r->pad = 0;
	bpf_ringbuf_submit(r, 0);
}

/* What became of a packet that was scheduled. */
ONCE int report_choice(struct __sk_buff *skb, const struct packet *p, __u32 what, __u32 service, __u32 backend)
{
	__u32 zero = 0;
	struct settings *s = bpf_map_lookup_elem(&settings, &zero);

	if (p && s && s->report_every)
		report(skb, p, s, what, service, backend);
	return 0;
}

/* A packet is lost: counted, maybe reported, and dropped. */
ONCE int lost(struct __sk_buff *skb, const struct packet *p, __u32 event)
{
	__u32 zero = 0;
	struct settings *s = bpf_map_lookup_elem(&settings, &zero);
	struct flow_key key;
	struct flow *f;

	count(event);
	if (!p || !s || !s->report_every)
		return TC_ACT_SHOT;
	key = p->key;
	f = p->v6 ? bpf_map_lookup_elem(&flows6, &key) : bpf_map_lookup_elem(&flows4, &key);
	report(skb, p, s, event, f ? f->service : REPORT_NO_SERVICE, f ? f->backend : 0);
	return TC_ACT_SHOT;
}
