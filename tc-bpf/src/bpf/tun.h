/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0 */
/* Tunnelling: the packet within another to the backend, IPv4 and IPv6 in either (RFC 2003, RFC 2473, RFC 4213). */
#pragma once
#include "forward.h"

#define OUTER_HOPS 64

/* Room for what `b` puts before the packet, behind the Ethernet header. TCP's segments shrink by it; a UDP sender's
 * segments may not be changed, and the kernel refuses without the flag. */
INLINE int make_room(struct __sk_buff *skb, const struct packet *p, const struct backend *b, __u32 overhead,
		     __u64 flags)
{
	flags |= b->family == 4 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV6;
	if (skb->gso_size && p->proto != IPPROTO_TCP)
		flags |= BPF_F_ADJ_ROOM_FIXED_GSO;
	return bpf_skb_adjust_room(skb, overhead, BPF_ADJ_ROOM_MAC, flags);
}

/* How the packet is called by what is before it. */
INLINE __u8 inner_proto(const struct packet *p)
{
	return p->v6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
}

/* `host` are bits for the end of the source address, `between` the bytes of headers behind this one. */
INLINE void write_outer4(struct iphdr *ip, const struct packet *p, const struct backend *b, __u8 proto, __u32 between,
			 __u32 host)
{
	__u32 total = p->len + between + sizeof(*ip), sum = 0;
	__u16 *half = (void *)ip;

	ip->version = 4;
	ip->ihl = 5;
	ip->tos = p->tos;
	/* Beyond 64 KiB only what GRO merged gets; it is cut up again, and has no length till then. */
	ip->tot_len = total > 0xffff ? 0 : bpf_htons(total);
	ip->id = 0;		/* RFC 6864: nothing for what is not fragmented */
	ip->frag_off = p->df ? bpf_htons(V4_DF) : 0;
	ip->ttl = OUTER_HOPS;
	ip->protocol = proto;
	ip->check = 0;
	__builtin_memcpy(&ip->saddr, b->source + 12, 4);
	ip->saddr |= host;
	__builtin_memcpy(&ip->daddr, b->address + 12, 4);
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += half[i];
	ip->check = csum_fold(sum);
}

INLINE void write_outer6(struct ipv6hdr *ip, const struct packet *p, const struct backend *b, __u8 proto, __u32 between,
			 __u32 host)
{
	__u32 length = p->len + between;

	ip->version = 6;
	ip->priority = p->tos >> 4;
	ip->flow_lbl[0] = p->tos << 4;
	ip->flow_lbl[1] = 0;
	ip->flow_lbl[2] = 0;
	ip->payload_len = length > 0xffff ? 0 : bpf_htons(length);
	ip->nexthdr = proto;
	ip->hop_limit = OUTER_HOPS;
	__builtin_memcpy(&ip->saddr, b->source, 16);
	ip->saddr.in6_u.u6_addr32[3] |= host;
	__builtin_memcpy(&ip->daddr, b->address, 16);
}

/* To the next hop: by its hardware address, or the route to the outer destination says who it is. */
INLINE int leave(struct ethhdr *eth, const struct backend *b)
{
	if (likely(has_mac(b))) {
		set_macs(eth, b);
		return bpf_redirect(b->ifindex, 0);
	}
	return bpf_redirect_neigh(b->ifindex, 0, 0, 0);
}

/* IP in IP from one address. Other encapsulations are in encap.h. */
INLINE int send_plain(struct __sk_buff *skb, struct packet *p, const struct backend *b)
{
	struct ethhdr *eth;
	void *end;

	if (unlikely(drop_tags(skb, p)))
		return lost(skb, p, EVENT_VLAN);
	if (count_hop(skb, p))
		return TC_ACT_SHOT;
	if (make_room(skb, p, b, b->overhead, 0))
		return lost(skb, p, EVENT_ENCAPSULATION);
	eth = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	if (b->family == 4) {
		if ((void *)(eth + 1) + sizeof(struct iphdr) > end)
			return TC_ACT_SHOT;
		eth->h_proto = bpf_htons(ETH_P_IP);
		write_outer4((void *)(eth + 1), p, b, inner_proto(p), 0, 0);
	} else {
		if ((void *)(eth + 1) + sizeof(struct ipv6hdr) > end)
			return TC_ACT_SHOT;
		eth->h_proto = bpf_htons(ETH_P_IPV6);
		write_outer6((void *)(eth + 1), p, b, inner_proto(p), 0, 0);
	}
	return leave(eth, b);
}
