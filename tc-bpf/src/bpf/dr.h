/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0 */
/* Direct routing: the packet as it is, to the backend's hardware address. */
#pragma once
#include "forward.h"

INLINE int send_direct(struct __sk_buff *skb, struct packet *p, const struct backend *b)
{
	struct bpf_redir_neigh to = {};
	struct ethhdr *eth;

	if (unlikely(drop_tags(skb, p)))
		return lost(skb, p, EVENT_VLAN);
	if (count_hop(skb, p))
		return TC_ACT_SHOT;
	if (likely(has_mac(b))) {
		eth = (void *)(long)skb->data;
		if ((void *)(eth + 1) > (void *)(long)skb->data_end)
			return TC_ACT_SHOT;
		set_macs(eth, b);
		return bpf_redirect(b->ifindex, 0);
	}
	if (b->family == 4) {
		to.nh_family = 2;	/* AF_INET */
		__builtin_memcpy(&to.ipv4_nh, b->address + 12, 4);
	} else {
		to.nh_family = 10;	/* AF_INET6 */
		__builtin_memcpy(to.ipv6_nh, b->address, 16);
	}
	return bpf_redirect_neigh(b->ifindex, &to, sizeof(to), 0);
}
