/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0 */
/* ICMP errors from the network between backend and client: they are for the backend that sent what they quote. */
#pragma once
#include "flow.h"

INLINE int is_error(__u8 v6, __u8 type)
{
	if (v6)
		return type >= 1 && type <= 4;
	return type == 3 || type == 11 || type == 12;	/* unreachable, time exceeded, parameter problem */
}

/* The connection whose packet is quoted, the other way round. RFC 792 promises no more than 8 bytes behind the quoted
 * IP header: the ports, not TCP's flags. */
APART int quoted_flow(struct __sk_buff *skb, struct packet *p, struct flow_key *key)
{
	__u32 at = p->l4 + 8, address = p->v6 ? 16 : 4;
	__be16 ports[2];
	__u8 type, head;

	if (bpf_skb_load_bytes(skb, p->l4, &type, 1) < 0 || !is_error(p->v6, type))
		return -1;
	key->family = p->v6 ? 6 : 4;
	if (p->v6) {
		if (bpf_skb_load_bytes(skb, at + 6, &key->proto, 1) < 0 ||
		    bpf_skb_load_bytes(skb, at + 8, key->addresses + 16, 16) < 0 ||
		    bpf_skb_load_bytes(skb, at + 24, key->addresses, 16) < 0)
			return -1;
		at += sizeof(struct ipv6hdr);
	} else {
		if (bpf_skb_load_bytes(skb, at, &head, 1) < 0 || bpf_skb_load_bytes(skb, at + 9, &key->proto, 1) < 0 ||
		    bpf_skb_load_bytes(skb, at + 12, key->addresses + 4, 4) < 0 ||
		    bpf_skb_load_bytes(skb, at + 16, key->addresses, 4) < 0)
			return -1;
		at += (head & 15) * 4;
	}
	if (key->proto != IPPROTO_TCP && key->proto != IPPROTO_UDP && key->proto != IPPROTO_SCTP)
		return -1;
	if (bpf_skb_load_bytes(skb, at, ports, 4) < 0)
		return -1;
	key->sport = ports[1];
	key->dport = ports[0];
	return 0;
}

/* Its backend. Touches no entry: an error says nothing about the connection's age, and makes none. */
APART struct backend *icmp_backend(struct __sk_buff *skb, struct packet *p, const struct settings *s, int *id)
{
	struct flow *f;

	if (quoted_flow(skb, p, &p->key))
		return 0;
	f = established(p);
	if (!f)
		f = half_open(p, s);
	if (!f) {
		count(EVENT_ICMP_UNKNOWN);
		return 0;
	}
	*id = f->backend;
	return backend_of(f->backend, f->generation);
}
