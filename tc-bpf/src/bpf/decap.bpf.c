/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0 */
/* For real servers whose kernel has no ipip devices: takes the outer header off what is tunnelled to one of this
 * machine's addresses, and gives the inner packet to the stack. */
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
	TYPE(value, __u32);
	NUMBER(max_entries, 64);
	NUMBER(pinning, PIN_BY_NAME);
} decap_locals SEC(".maps");

INLINE int decapsulate(struct __sk_buff *skb, __u8 inner, int outer_len)
{
	__be16 proto = inner == IPPROTO_IPIP ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	/* Segments keep their size: they were cut for the inner packet's path. */
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO;

	flags |= inner == IPPROTO_IPIP ? DECAP_L3_IPV4 : DECAP_L3_IPV6;
	/* Kernels before 6.3 know no DECAP flags; they are needed only where the family changes. */
	if (bpf_skb_adjust_room(skb, -outer_len, BPF_ADJ_ROOM_MAC, flags) &&
	    bpf_skb_adjust_room(skb, -outer_len, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO))
		return TC_ACT_SHOT;
	bpf_skb_store_bytes(skb, 12, &proto, 2, 0);
	return TC_ACT_UNSPEC;
}

SEC("classifier") int wvs_decap(struct __sk_buff *skb)
{
	struct decap_key key = {};
	struct ipv6hdr ip6;
	struct iphdr ip;

	if (skb->pkt_type != 0 /* PACKET_HOST */)
		return TC_ACT_UNSPEC;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) < 0 || ip.ihl != 5 ||
		    (ip.protocol != IPPROTO_IPIP && ip.protocol != IPPROTO_IPV6) ||
		    ip.frag_off & bpf_htons(0x3fff))
			return TC_ACT_UNSPEC;
		key.local[10] = key.local[11] = 0xff;
		__builtin_memcpy(key.local + 12, &ip.daddr, 4);
		if (!bpf_map_lookup_elem(&decap_locals, &key))
			return TC_ACT_UNSPEC;
		return decapsulate(skb, ip.protocol, sizeof(ip));
	}
	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip6, sizeof(ip6)) < 0 ||
		    (ip6.nexthdr != IPPROTO_IPIP && ip6.nexthdr != IPPROTO_IPV6))
			return TC_ACT_UNSPEC;
		__builtin_memcpy(key.local, &ip6.daddr, 16);
		if (!bpf_map_lookup_elem(&decap_locals, &key))
			return TC_ACT_UNSPEC;
		return decapsulate(skb, ip6.nexthdr, sizeof(ip6));
	}
	return TC_ACT_UNSPEC;
}

SEC("license") char terms[] = "Dual MIT/GPL";
