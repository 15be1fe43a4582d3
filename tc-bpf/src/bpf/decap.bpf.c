/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0 */
/* For real servers whose kernel has no tunnel devices: takes the outer headers (IP in IP, GRE, GUE) off what is tunnelled
 * to one of this machine's addresses, and gives the inner packet to the stack. Checksums of tunnels are not looked at:
 * the inner packet has its own. */
#include "bpf.h"

/* Newer than the oldest headers that this is built with. */
#define DECAP_L3_IPV4 (1ULL << 7)
#define DECAP_L3_IPV6 (1ULL << 8)

struct decap_key {
	__u8 local[16];		/* IPv4 in the last four bytes, after ::ffff: */
};

struct {
	NUMBER(type, BPF_MAP_TYPE_HASH);
	TYPE(key, struct decap_key);
	TYPE(value, __u32);	/* GUE's port in network byte order, 0: none */
	NUMBER(max_entries, 64);
	NUMBER(pinning, PIN_BY_NAME);
} decap_locals SEC(".maps");

/* Kernels before 6.3 know no DECAP flags: they leave no less than a header of the outer family, and hold the packet for
 * one of that. */
INLINE int take_off(struct __sk_buff *skb, __u8 inner, int outer_len)
{
	__u32 len = skb->len - outer_len;
	int grown = inner == IPPROTO_IPIP && len < ETH_HLEN + sizeof(struct ipv6hdr);

	if (grown && bpf_skb_change_tail(skb, skb->len + sizeof(struct ipv6hdr), 0))
		return -1;
	if (bpf_skb_adjust_room(skb, -outer_len, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO))
		return -1;
	return grown && bpf_skb_change_tail(skb, len, 0);
}

INLINE int decapsulate(struct __sk_buff *skb, __u8 inner, int outer_len)
{
	__be16 proto = inner == IPPROTO_IPIP ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	/* Segments keep their size: they were cut for the inner packet's path. */
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO;
	int changes = skb->protocol != proto;

	flags |= inner == IPPROTO_IPIP ? DECAP_L3_IPV4 : DECAP_L3_IPV6;
	if (bpf_skb_adjust_room(skb, -outer_len, BPF_ADJ_ROOM_MAC, flags)) {
		if (take_off(skb, inner, outer_len))
			return TC_ACT_SHOT;
	} else {
		changes = 0;
	}
	bpf_skb_store_bytes(skb, 12, &proto, 2, 0);
	/* Which family it is, the kernel finds out when it arrives again. */
	return changes ? bpf_redirect(skb->ifindex, BPF_F_INGRESS) : TC_ACT_UNSPEC;
}

/* How many bytes are between the outer IP header and the packet, and of which protocol that is; -1: no tunnel of ours. */
INLINE int between(struct __sk_buff *skb, __u8 proto, __u32 at, __u32 port, __u8 *inner)
{
	struct { __be16 flags, proto; } gre;
	struct { __be16 source, dest, len, check; __u8 version, proto; __be16 flags; } gue;

	*inner = proto;
	if (proto == IPPROTO_IPIP || proto == IPPROTO_IPV6)
		return 0;
	if (proto == IPPROTO_GRE) {
		if (bpf_skb_load_bytes(skb, at, &gre, sizeof(gre)) < 0)
			return -1;
		/* Keys and sequence numbers say more than which packet it is. */
		if (gre.flags & ~bpf_htons(0x8000))
			return -1;
		*inner = gre.proto == bpf_htons(ETH_P_IP) ? IPPROTO_IPIP : IPPROTO_IPV6;
		if (gre.proto != bpf_htons(ETH_P_IP) && gre.proto != bpf_htons(ETH_P_IPV6))
			return -1;
		return gre.flags ? 8 : 4;
	}
	if (proto != IPPROTO_UDP || !port || bpf_skb_load_bytes(skb, at, &gue, sizeof(gue)) < 0)
		return -1;
	if (gue.dest != port || gue.version || gue.flags ||
	    (gue.proto != IPPROTO_IPIP && gue.proto != IPPROTO_IPV6))
		return -1;
	*inner = gue.proto;
	return sizeof(gue);
}

SEC("classifier") int wvs_decap(struct __sk_buff *skb)
{
	struct decap_key key = {};
	struct ipv6hdr ip6;
	struct iphdr ip;
	__u8 proto, inner;
	__u32 *port;
	int outer, size;

	if (skb->pkt_type != 0 /* PACKET_HOST */)
		return TC_ACT_UNSPEC;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) < 0 || ip.ihl != 5 ||
		    ip.frag_off & bpf_htons(0x3fff))
			return TC_ACT_UNSPEC;
		key.local[10] = key.local[11] = 0xff;
		__builtin_memcpy(key.local + 12, &ip.daddr, 4);
		outer = sizeof(ip);
		proto = ip.protocol;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip6, sizeof(ip6)) < 0)
			return TC_ACT_UNSPEC;
		__builtin_memcpy(key.local, &ip6.daddr, 16);
		outer = sizeof(ip6);
		proto = ip6.nexthdr;
	} else {
		return TC_ACT_UNSPEC;
	}
	port = bpf_map_lookup_elem(&decap_locals, &key);
	if (!port)
		return TC_ACT_UNSPEC;
	size = between(skb, proto, ETH_HLEN + outer, *port, &inner);
	return size < 0 ? TC_ACT_UNSPEC : decapsulate(skb, inner, outer + size);
}

SEC("license") char terms[] = "Dual MIT/GPL";
