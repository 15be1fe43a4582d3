/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0 */
/* Packets that do not fit the way to the backend are answered: ICMP fragmentation needed (RFC 1191), ICMPv6 packet
 * too big (RFC 4443). Replies bypass the director, so nobody else can tell the client. */
#pragma once
#include "report.h"

#define QUOTE 20	/* bytes behind the IP header: a checksum that is still to be filled in lies within them */
#define IP_ROOM 128	/* the longest IPv6 header with extensions that is quoted */

/* The size of the largest packet that will leave, beyond `mtu` or not. GRO's large ones are cut up again: by
 * `shrinks`, the kernel lowers TCP's segments by what it adds. */
INLINE int fits(struct __sk_buff *skb, struct packet *p, __u32 mtu, __u32 overhead)
{
	__u32 size = p->len + overhead, headers;
	__u8 offset = 0x50;

	if (likely(size <= mtu))
		return 1;
	if (!skb->gso_size)
		return 0;
	headers = p->l4 - p->l3;
	if (p->proto != IPPROTO_TCP)
		return skb->gso_size + headers + 8 + overhead <= mtu;
	bpf_skb_load_bytes(skb, p->l4 + 12, &offset, 1);
	return skb->gso_size + headers + (offset >> 4) * 4 <= mtu;
}

INLINE int may_answer(const struct settings *s, __u32 now)
{
	__u32 zero = 0;
	struct gate *g = bpf_map_lookup_elem(&gates, &zero);

	if (!g)
		return 0;
	if (g->window != now >> GATE_TICKS) {
		g->window = now >> GATE_TICKS;
		g->inserts = 0;
		g->icmps = 0;
	}
	if (g->icmps >= s->icmp_limit)
		return 0;
	g->icmps++;
	return 1;
}

/* The quoted transport header's checksum may still be to be filled in, by a device or by the kernel, when the
 * message leaves. So it is set to the value that filling it in gives, or our own checksum would be wrong then:
 * X = ~(S + X), hence 2X = -S - 0 modulo 65535, and 32768 is the inverse of 2. */
INLINE void settle_checksum(__u8 proto, __u8 *l4)
{
	__u32 at = proto == IPPROTO_TCP ? 16 : 6, x;

	if (proto != IPPROTO_TCP && proto != IPPROTO_UDP)
		return;
	l4[at] = l4[at + 1] = 0;
	x = (__u16)csum_fold(bpf_csum_diff(0, 0, (__be32 *)l4, QUOTE, 0));
	x = (x * 32768u) % 65535;
	if (!x)
		x = 0xffff;
	l4[at] = x;
	l4[at + 1] = x >> 8;
}

struct message {
	union {
		struct { struct iphdr outer4; __u8 unused[28]; };
		struct { struct ipv6hdr outer6; __u8 icmp[8]; };
	};
	__u8 ip[IP_ROOM];
	__u8 l4[QUOTE];
};

INLINE int swap_and_send(struct __sk_buff *skb)
{
	__u8 mac[12], swapped[12];

	if (bpf_skb_load_bytes(skb, 0, mac, 12) < 0)
		return TC_ACT_SHOT;
	__builtin_memcpy(swapped, mac + 6, 6);
	__builtin_memcpy(swapped + 6, mac, 6);
	if (bpf_skb_store_bytes(skb, 0, swapped, 12, 0) < 0)
		return TC_ACT_SHOT;
	return bpf_redirect(skb->ifindex, 0);
}

/* Cuts the packet to its headers and puts a message in front. */
APART int answer_too_big(struct __sk_buff *skb, struct packet *p, __u32 mtu)
{
	struct message m = {};
	__u32 ip_len = p->l4 - p->l3, outer = p->v6 ? sizeof(m.outer6) : sizeof(m.outer4);
	__u32 quoted = ip_len + QUOTE;
	__u8 proto = p->proto;
	__u32 sum;

	if (p->l3 != ETH_HLEN || ip_len < 20 || ip_len > IP_ROOM || p->extent == LATER_FRAGMENT)
		return -1;
	if (bpf_skb_load_bytes(skb, ETH_HLEN, m.ip, ip_len) < 0 || bpf_skb_load_bytes(skb, p->l4, m.l4, QUOTE) < 0)
		return -1;
	settle_checksum(proto, m.l4);
	if (p->v6) {
		m.icmp[0] = 2;
		m.icmp[6] = mtu >> 8;
		m.icmp[7] = mtu;
		/* The pseudo header: both addresses, length and protocol. */
		sum = bpf_csum_diff(0, 0, (__be32 *)p->key.addresses, 32, bpf_htonl(quoted + 8));
		sum = bpf_csum_diff(0, 0, (__be32 *)m.icmp, 8 + IP_ROOM + QUOTE, sum);
		sum = (sum & 0xffff) + (sum >> 16);
		sum += bpf_htons(IPPROTO_ICMPV6);
		*(__u16 *)(m.icmp + 2) = csum_fold(sum);
		m.outer6.version = 6;
		m.outer6.payload_len = bpf_htons(quoted + 8);
		m.outer6.nexthdr = IPPROTO_ICMPV6;
		m.outer6.hop_limit = 64;
		__builtin_memcpy(&m.outer6.saddr, p->key.addresses + 16, 16);
		__builtin_memcpy(&m.outer6.daddr, p->key.addresses, 16);
	} else {
		m.icmp[0] = 3;
		m.icmp[1] = 4;
		m.icmp[6] = mtu >> 8;
		m.icmp[7] = mtu;
		sum = bpf_csum_diff(0, 0, (__be32 *)m.icmp, 8 + IP_ROOM + QUOTE, 0);
		*(__u16 *)(m.icmp + 2) = csum_fold(sum);
		m.outer4.version = 4;
		m.outer4.ihl = 5;
		m.outer4.tot_len = bpf_htons(quoted + 28);
		m.outer4.frag_off = bpf_htons(V4_DF);
		m.outer4.ttl = 64;
		m.outer4.protocol = IPPROTO_ICMP;
		__builtin_memcpy(&m.outer4.saddr, p->key.addresses + 4, 4);
		__builtin_memcpy(&m.outer4.daddr, p->key.addresses, 4);
		m.outer4.check = csum_fold(bpf_csum_diff(0, 0, (__be32 *)&m.outer4, 20, 0));
	}
	if (bpf_skb_change_tail(skb, ETH_HLEN + quoted, 0) ||
	    bpf_skb_adjust_room(skb, outer + 8, BPF_ADJ_ROOM_MAC, 0))
		return TC_ACT_SHOT;
	if (p->v6) {
		if (bpf_skb_store_bytes(skb, ETH_HLEN, &m.outer6, 40, 0) < 0)
			return TC_ACT_SHOT;
	} else if (bpf_skb_store_bytes(skb, ETH_HLEN, &m.outer4, 20, 0) < 0) {
		return TC_ACT_SHOT;
	}
	if (bpf_skb_store_bytes(skb, ETH_HLEN + outer, m.icmp, 8, 0) < 0 ||
	    bpf_skb_store_bytes(skb, ETH_HLEN + outer + 8 + ip_len, m.l4, QUOTE, 0) < 0)
		return TC_ACT_SHOT;
	return swap_and_send(skb);
}

/* A packet that does not fit. */
APART int too_big(struct __sk_buff *skb, struct packet *p, const struct settings *s, __u32 mtu)
{
	int verdict = -1;

	/* Without DF, too: what is not cut in two (cut.h) would never arrive, and clients take the message to heart all the
	 * same. RFC 1122 3.2.2: no error about an error. */
	if (p->proto != IPPROTO_ICMP && p->proto != IPPROTO_ICMPV6 && may_answer(s, ticks()))
		verdict = answer_too_big(skb, p, mtu);
	lost(skb, p, verdict == TC_ACT_REDIRECT ? EVENT_TOO_BIG : EVENT_TOO_BIG_UNTOLD);
	return verdict < 0 ? TC_ACT_SHOT : verdict;
}
