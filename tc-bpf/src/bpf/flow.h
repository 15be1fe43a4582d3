/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0 */
/* Connections: a table of established ones and one of those that have still to prove themselves, for each family.
 *
 * Whatever a single packet can bring about goes to the latter. A second packet moves the entry on, so that a flood
 * of SYNs, or of datagrams from forged addresses, never touches what is established. */
#pragma once
#include "half_open.h"

INLINE struct flow *established(const struct packet *p)
{
	if (p->v6)
		return bpf_map_lookup_elem(&flows6, &p->key);
	return bpf_map_lookup_elem(&flows4, &p->key);
}

/* Whether this CPU may still make an entry. */
INLINE int gate_open(const struct settings *s, __u32 now)
{
	__u32 zero = 0;
	struct gate *g;

	if (!s->insert_limit)
		return 1;
	g = bpf_map_lookup_elem(&gates, &zero);
	if (!g)
		return 0;
	if (g->window != now >> GATE_TICKS) {
		g->window = now >> GATE_TICKS;
		g->inserts = 0;
		g->icmps = 0;
	}
	if (g->inserts >= s->insert_limit)
		return 0;
	g->inserts++;
	return 1;
}

/* The client's half of TCP, as IPVS's table for it has it. */
INLINE __u8 next_state(__u8 state, __u8 proto, __u8 flags)
{
	if (proto != IPPROTO_TCP)
		return STATE_DATAGRAM;
	if (flags & TCP_RST)
		return state == STATE_SYN ? STATE_SYN : STATE_CLOSED;
	if (flags & TCP_SYN)
		return state == STATE_ESTABLISHED ? STATE_ESTABLISHED : STATE_SYN;
	if (flags & TCP_FIN)
		return state == STATE_ESTABLISHED ? STATE_FIN : state == STATE_SYN ? STATE_TIME_WAIT : state;
	if (flags & TCP_ACK)
		return state == STATE_SYN ? STATE_ESTABLISHED : state;
	return state;
}

INLINE int is_syn(const struct packet *p)
{
	return p->proto == IPPROTO_TCP && (p->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;
}

/* A SYN for a connection that was closing is another connection. */
INLINE int begins_anew(const struct packet *p, const struct flow *f)
{
	return is_syn(p) && f->state >= STATE_FIN && f->state <= STATE_CLOSED;
}

/* The flow's backend, if its id still means the same. */
INLINE struct backend *backend_of(__u16 id, __u16 generation)
{
	__u32 key = id;
	struct backend *b = bpf_map_lookup_elem(&backends, &key);

	return b && b->method && b->generation == generation ? b : 0;
}

ONCE int prove_client(const struct packet *p, const struct flow *f);

/* A second packet: the entry moves to the established ones. */
INLINE void promote(const struct packet *p, struct flow *f, const struct settings *s)
{
	struct flow copy = *f;
	long refused;

	if (!gate_open(s, f->seen)) {
		count(EVENT_GATE);
		return;
	}
	refused = p->v6 ? bpf_map_update_elem(&flows6, &p->key, &copy, BPF_ANY)
			: bpf_map_update_elem(&flows4, &p->key, &copy, BPF_ANY);
	if (unlikely(copy.flags & FLOW_PERSISTENT))
		prove_client(p, &copy);
	if (refused)
		count(EVENT_TABLE_FULL);
	else
		forget_half_open(f);
}

/* The backend of a connection that is half open. */
INLINE struct backend *half_open_backend(struct packet *p, const struct settings *s, __u32 now, int *id)
{
	struct flow *f = half_open(p, s);
	struct backend *b;

	if (!f || begins_anew(p, f))
		return 0;
	b = backend_of(f->backend, f->generation);
	if (!b) {
		count(EVENT_STALE);
		return 0;
	}
	*id = f->backend;
	f->seen = now;
	f->state = next_state(f->state, p->proto, p->flags);
	if (f->state == STATE_ESTABLISHED || f->state == STATE_DATAGRAM)
		promote(p, f, s);
	return b;
}

INLINE void remember(const struct packet *p, const struct settings *s, __u16 id, const struct backend *b,
		     __u16 service, __u32 now)
{
	struct flow f = {
		.backend = id,
		.generation = b->generation,
		.seen = now,
		.opened = now,
		.service = service,
		.flags = p->persistent ? FLOW_PERSISTENT : 0,
		.state = p->proto != IPPROTO_TCP ? STATE_DATAGRAM : is_syn(p) ? STATE_SYN : STATE_ESTABLISHED,
	};

	if (remember_half_open(p, s, &f))
		count(EVENT_TABLE_FULL);
}
