/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0 */
/* What every way to a backend has in common. */
#pragma once
#include "toobig.h"

#define PASS TC_ACT_UNSPEC	/* what comes after us decides: other programs, then the stack */

/* nftables takes the packet on: for this backend, or with 0 to refuse it. The priority of a packet that has just
 * arrived is unused, and nftables can look it up. */
INLINE int hand_up(struct __sk_buff *skb, __u16 id)
{
	skb->priority = PRIORITY_TAG | id;
	return PASS;
}

INLINE int has_mac(const struct backend *b)
{
	__u64 word;

	__builtin_memcpy(&word, b->mac, 8);
	return (word << 16) != 0;	/* the bytes behind belong to source_mac (little-endian) */
}

/* Whole words: the compiler would copy bytes, not knowing that the kernel lets packets be written at any address. */
INLINE void set_macs(void *eth, const struct backend *b)
{
	*(__u64 *)eth = *(const __u64 *)b->mac;
	*(__u32 *)(eth + 8) = *(const __u32 *)(b->source_mac + 2);
}

/* One hop less. IPv4's checksum makes up for it; for IPv6 the kernel's sum over the packet must be told. */
INLINE int count_hop(struct __sk_buff *skb, const struct packet *p)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u32 check;

	if (p->v6) {
		struct ipv6hdr *ip = data + ETH_HLEN;

		if ((void *)(ip + 1) > end)
			return -1;
		ip->hop_limit--;
		/* The byte is the second of its word: 0x00ff .. less 0x0100 is plus ~0x0100. */
		bpf_csum_update(skb, 0xffff - bpf_htons(1));
	} else {
		struct iphdr *ip = data + ETH_HLEN;

		if ((void *)(ip + 1) > end)
			return -1;
		ip->ttl--;
		check = ip->check + bpf_htons(0x0100);
		ip->check = check + (check >= 0xffff);
	}
	return 0;
}

/* VLAN tags end here: the interface towards the backend has its own. */
INLINE int drop_tags(struct __sk_buff *skb, const struct packet *p)
{
	if (likely(!p->tags && !skb->vlan_present))
		return 0;
	if (skb->vlan_present && bpf_skb_vlan_pop(skb))
		return -1;
	if (p->tags && bpf_skb_vlan_pop(skb))
		return -1;
	if (p->tags > 1 && bpf_skb_vlan_pop(skb))
		return -1;
	return 0;
}
