/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0 */
/* The way of almost every packet: IPv4 without options or fragments, of a connection that is established, to a
 * backend of direct routing whose hardware address is known. It does what the general way does, in half the
 * instructions; whatever is not so simple goes there. */
#pragma once
#include "dr.h"

enum fast {
	FAST_GENERAL,		/* nothing is known yet */
	FAST_MISS,		/* `p` is parsed, and has no entry among the established */
	FAST_FOUND,		/* `p` is parsed, and goes to `*found` */
	FAST_PASS,		/* not ours */
	FAST_REDIRECT,		/* to `*ifindex` */
};

INLINE void fill(struct packet *p, const struct iphdr *ip, const struct flow_key4 *key, __u32 total, __u8 flags)
{
	__builtin_memset(p, 0, sizeof(*p));
	__builtin_memcpy(&p->key, key, sizeof(*key));
	p->l3 = ETH_HLEN;
	p->l4 = ETH_HLEN + sizeof(*ip);
	p->len = total;
	p->flags = flags;
	p->hop_limit = ip->ttl;
	p->tos = ip->tos;
	p->df = (ip->frag_off & bpf_htons(V4_DF)) != 0;
	p->proto = ip->protocol;
}

INLINE enum fast fast_way(struct __sk_buff *skb, struct packet *p, const struct settings *s, __u32 now, __u32 *ifindex,
			  struct backend **found, int *id)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + ETH_HLEN;
	struct tcphdr *tcp = (void *)(ip + 1);
	struct backend_stats *stats;
	struct flow_key4 key;
	struct backend *b;
	struct flow *f;
	__u32 total, backend, check, *ports = (void *)tcp;
	__u8 flags = 0;

	if ((void *)tcp + 8 > end || skb->protocol != bpf_htons(ETH_P_IP))
		return FAST_GENERAL;
	if (!passes_filter(s, ip->daddr))
		return s->marks && skb->mark ? FAST_GENERAL : FAST_PASS;
	if (*(__u8 *)ip != 0x45 || ip->frag_off & bpf_htons(V4_MF | V4_OFFSET))
		return FAST_GENERAL;
	total = bpf_ntohs(ip->tot_len);
	if (total > skb->len - ETH_HLEN || total < 28)
		return FAST_GENERAL;
	if (ip->protocol == IPPROTO_TCP) {
		if ((void *)(tcp + 1) > end || total < 40)
			return FAST_GENERAL;
		flags = ((__u8 *)tcp)[13];
	} else if (ip->protocol != IPPROTO_UDP) {
		return FAST_GENERAL;
	}
	*(__u32 *)&key = *ports;
	*((__u32 *)&key + 1) = 0x0400 | ip->protocol;	/* family and protocol (little-endian) */
	__builtin_memcpy(key.saddr, &ip->saddr, 8);
	f = bpf_map_lookup_elem(&flows4, &key);
	if (!f) {
		fill(p, ip, &key, total, flags);
		return FAST_MISS;
	}
	/* Only an entry in one of its lasting states stays in it. */
	if (flags & (TCP_SYN | TCP_FIN | TCP_RST) || f->state == STATE_SYN)
		return FAST_GENERAL;
	backend = f->backend;
	b = bpf_map_lookup_elem(&backends, &backend);
	if (!b || !b->method || b->generation != f->generation)
		return FAST_GENERAL;
	f->seen = now;
	if (b->method != METHOD_DR || !has_mac(b) || total > b->mtu || ip->ttl <= 1 || skb->vlan_present) {
		fill(p, ip, &key, total, flags);
		*found = b;
		*id = backend;
		return FAST_FOUND;
	}
	stats = bpf_map_lookup_elem(&backend_stats, &backend);
	if (stats) {
		stats->packets++;
		stats->bytes += skb->len;
	}
	ip->ttl--;
	check = ip->check + bpf_htons(0x0100);
	ip->check = check + (check >= 0xffff);
	set_macs(data, b);
	*ifindex = b->ifindex;
	return FAST_REDIRECT;
}
