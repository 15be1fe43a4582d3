/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0 */
/* From bytes to what the program needs to know of a packet. Changes nothing. */
#pragma once
#include "maps.h"

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

#define V4_MF 0x2000
#define V4_OFFSET 0x1fff
#define V4_DF 0x4000

enum extent {		/* how much of a datagram a packet is */
	WHOLE,
	FIRST_FRAGMENT,
	LATER_FRAGMENT,
};

struct packet {
	struct flow_key key;
	__u32 l3;		/* where the IP header begins */
	__u32 l4;		/* and what follows it and its extensions */
	__u32 len;		/* of the IP packet, without what Ethernet filled up */
	__u32 fragment;		/* the datagram's identification */
	__u8 v6;
	__u8 flags;		/* of TCP */
	__u8 extent;
	__u8 hop_limit;
	__u8 tos;
	__u8 df;		/* IPv4's; IPv6 is never fragmented on the way */
	__u8 proto;
	__u8 tags;		/* VLAN tags within the data */
	__u8 chosen;		/* a backend was chosen for it */
	__u8 persistent;	/* and its client keeps that */
};

enum parsed {
	READY,
	ICMP,			/* maybe an error */
	NOT_OURS,
};

INLINE int is_tag(__be16 proto)
{
	return proto == bpf_htons(ETH_P_8021Q) || proto == bpf_htons(ETH_P_8021AD);
}

/* Whether this address may be a virtual one. core knows the same hash: src/filter.rs. */
INLINE int passes_filter(const struct settings *s, __u32 word)
{
	__u32 bit = (word * 0x9e3779b1u) >> 19;

	return (s->filter[(bit >> 6) & 127] >> (bit & 63)) & 1;
}

INLINE void set_address6(struct packet *p, const void *saddr)
{
	__builtin_memcpy(p->key.addresses, saddr, 32);
}

INLINE __u32 fold_address6(const __u8 *address)
{
	__u32 w[4];

	__builtin_memcpy(w, address, 16);
	return w[0] ^ (w[1] << 7 | w[1] >> 25) ^ (w[2] << 14 | w[2] >> 18) ^ (w[3] << 21 | w[3] >> 11);
}

/* Ports, and TCP's flags, wherever they are. `len` is what the IP header says is there. */
INLINE enum parsed parse_l4_apart(struct __sk_buff *skb, struct packet *p, __u32 len)
{
	__u32 least = p->proto == IPPROTO_TCP ? sizeof(struct tcphdr) : 8;

	if (p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP && p->proto != IPPROTO_SCTP)
		return NOT_OURS;
	if (len < least || bpf_skb_load_bytes(skb, p->l4, &p->key.sport, 4) < 0)
		return NOT_OURS;
	if (p->proto == IPPROTO_TCP && bpf_skb_load_bytes(skb, p->l4 + 13, &p->flags, 1) < 0)
		return NOT_OURS;
	return READY;
}

/* IPv4 behind `l3`. The common header, without options and fragments, is read in place. */
INLINE enum parsed parse4(struct __sk_buff *skb, struct packet *p, const struct settings *s, __u32 l3)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + l3;
	__u16 frag, total;
	__u32 ihl;

	if (unlikely((void *)(ip + 1) + 8 > end)) {
		bpf_skb_pull_data(skb, skb->len < l3 + 74 ? skb->len : l3 + 74);
		data = (void *)(long)skb->data;
		end = (void *)(long)skb->data_end;
		ip = data + l3;
		if ((void *)(ip + 1) > end)
			return NOT_OURS;
	}
	if (!passes_filter(s, ip->daddr) && likely(!s->marks || !skb->mark))
		return NOT_OURS;
	ihl = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
	/* BIG TCP has no length in its header. */
	p->len = total || !skb->gso_size ? total : skb->len - l3;
	if (ip->version != 4 || ihl < sizeof(*ip) || p->len < ihl || p->len > skb->len - l3) {
		count(EVENT_MALFORMED);
		return NOT_OURS;
	}
	frag = bpf_ntohs(ip->frag_off);
	p->l3 = l3;
	p->l4 = l3 + ihl;
	p->hop_limit = ip->ttl;
	p->tos = ip->tos;
	p->df = (frag & V4_DF) != 0;
	p->proto = ip->protocol;
	p->key.proto = ip->protocol;
	p->key.family = 4;
	__builtin_memcpy(p->key.addresses, &ip->saddr, 8);
	if (unlikely(frag & (V4_MF | V4_OFFSET))) {
		p->fragment = ip->id;
		p->extent = frag & V4_OFFSET ? LATER_FRAGMENT : FIRST_FRAGMENT;
		if (p->extent == LATER_FRAGMENT)
			return READY;
	}
	if (unlikely(ip->protocol == IPPROTO_ICMP))
		return ICMP;
	if (likely(ihl == sizeof(*ip))) {
		struct tcphdr *tcp = (void *)(ip + 1);

		if (ip->protocol == IPPROTO_UDP && p->len >= 28 && (void *)tcp + 8 <= end) {
			__builtin_memcpy(&p->key.sport, tcp, 4);
			return READY;
		}
		if (ip->protocol == IPPROTO_TCP && p->len >= 40 && (void *)(tcp + 1) <= end) {
			__builtin_memcpy(&p->key.sport, tcp, 4);
			p->flags = ((__u8 *)tcp)[13];
			return READY;
		}
	}
	return parse_l4_apart(skb, p, p->len - ihl);
}

/* The extension headers, to the one that has ports. `at` is where the first one is, `end` where the packet ends. */
INLINE enum parsed parse6_extensions(struct __sk_buff *skb, struct packet *p, __u8 next, __u32 at, __u32 end)
{
	__u8 h[8];

#pragma unroll
	for (int i = 0; i < 6; i++) {
		p->proto = next;
		p->key.proto = next;
		p->l4 = at;
		if (next == IPPROTO_ICMPV6)
			return ICMP;
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS &&
		    next != IPPROTO_FRAGMENT && next != IPPROTO_AH)
			return parse_l4_apart(skb, p, end - at);
		if (at + 8 > end || bpf_skb_load_bytes(skb, at, h, 8) < 0)
			return NOT_OURS;
		if (next == IPPROTO_FRAGMENT) {
			__u16 offset = h[2] << 8 | h[3];

			__builtin_memcpy(&p->fragment, h + 4, 4);
			at += 8;
			if (offset & 0xfff8) {
				p->extent = LATER_FRAGMENT;
				p->proto = h[0];
				p->key.proto = h[0];
				p->l4 = at;
				return READY;
			}
			if (offset & 1)		/* RFC 6946: without more to come it is whole */
				p->extent = FIRST_FRAGMENT;
		} else if (next == IPPROTO_AH) {
			at += (h[1] + 2) * 4;
		} else {
			/* A segment list that is not used up: this address is not the last one. */
			if (next == IPPROTO_ROUTING && h[3])
				return NOT_OURS;
			at += (h[1] + 1) * 8;
		}
		if (at > end)
			return NOT_OURS;
		next = h[0];
	}
	return NOT_OURS;
}

INLINE enum parsed parse6(struct __sk_buff *skb, struct packet *p, const struct settings *s, __u32 l3)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ipv6hdr *ip = data + l3;

	if (unlikely((void *)(ip + 1) + 8 > end)) {
		bpf_skb_pull_data(skb, skb->len < l3 + 60 ? skb->len : l3 + 60);
		data = (void *)(long)skb->data;
		end = (void *)(long)skb->data_end;
		ip = data + l3;
		if ((void *)(ip + 1) > end)
			return NOT_OURS;
	}
	if (!passes_filter(s, fold_address6((__u8 *)&ip->daddr)) && likely(!s->marks || !skb->mark))
		return NOT_OURS;
	p->len = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	/* BIG TCP has no length in its header. */
	if (!ip->payload_len && skb->gso_size)
		p->len = skb->len - l3;
	if (ip->version != 6 || p->len > skb->len - l3) {
		count(EVENT_MALFORMED);
		return NOT_OURS;
	}
	p->v6 = 1;
	p->l3 = l3;
	p->l4 = l3 + sizeof(*ip);
	p->hop_limit = ip->hop_limit;
	p->tos = ip->priority << 4 | ip->flow_lbl[0] >> 4;
	p->df = 1;
	p->proto = ip->nexthdr;
	p->key.proto = ip->nexthdr;
	p->key.family = 6;
	set_address6(p, &ip->saddr);
	if (ip->nexthdr == IPPROTO_UDP || ip->nexthdr == IPPROTO_TCP)
		return parse_l4_apart(skb, p, p->len - sizeof(*ip));
	return parse6_extensions(skb, p, ip->nexthdr, p->l4, l3 + p->len);
}

/* `p` is all zero. */
INLINE enum parsed parse(struct __sk_buff *skb, struct packet *p, const struct settings *s)
{
	struct { __be16 tci, proto; } tag;
	__be16 proto = skb->protocol;
	__u32 l3 = ETH_HLEN;

	if (likely(proto == bpf_htons(ETH_P_IP)))
		return parse4(skb, p, s, ETH_HLEN);
	if (likely(proto == bpf_htons(ETH_P_IPV6)))
		return parse6(skb, p, s, ETH_HLEN);
	if (!is_tag(proto) || bpf_skb_load_bytes(skb, l3, &tag, 4) < 0)
		return NOT_OURS;
	p->tags = 1;
	if (is_tag(tag.proto)) {
		p->tags = 2;
		if (bpf_skb_load_bytes(skb, l3 + 4, &tag, 4) < 0)
			return NOT_OURS;
	}
	l3 = p->tags == 1 ? ETH_HLEN + 4 : ETH_HLEN + 8;
	if (tag.proto == bpf_htons(ETH_P_IP))
		return parse4(skb, p, s, l3);
	if (tag.proto == bpf_htons(ETH_P_IPV6))
		return parse6(skb, p, s, l3);
	return NOT_OURS;
}
