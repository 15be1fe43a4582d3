/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0 */
/* Packets that do not fit and may be fragmented (IPv4 without DF) are sent in two: what leaves by bpf_redirect() passes no
 * part of the stack that would do it. The packet itself is fragmented, not what it lies in: that is for the real server to
 * put together, and not for the tunnel's end (RFC 2003, section 5). */
#pragma once
#include "encap.h"

#define TAIL 1024
#define MOST 4095	/* bytes that bpf_skb_adjust_room() takes out */

struct tail {
	__u8 bytes[TAIL];
};

/* Of the packet that this CPU works on. */
struct {
	NUMBER(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	TYPE(key, __u32);
	TYPE(value, struct tail);
	NUMBER(max_entries, 1);
} tails SEC(".maps");

/* Whether the packet has all its checksums, and they hold. One that a device is still to fill in would be filled in for a
 * part, and the header's is made anew. */
INLINE int is_finished(struct __sk_buff *skb, const struct packet *p)
{
	const __u16 *ends = (const __u16 *)p->key.addresses;
	__u16 check = 1;
	int sum;

	if (csum_fold(sum_all(skb, ETH_HLEN, sizeof(struct iphdr))))
		return 0;
	if (p->extent != WHOLE || p->proto == IPPROTO_SCTP)
		return 1;
	if (p->proto == IPPROTO_UDP && bpf_skb_load_bytes(skb, p->l4 + 6, &check, 2) < 0)
		return 0;
	if (!check)
		return 1;
	sum = sum_all(skb, p->l4, p->len - sizeof(struct iphdr));
	if (sum < 0)
		return 0;
	sum += bpf_htons(p->len - sizeof(struct iphdr)) + bpf_htons(p->proto);
	return !csum_fold(sum + ends[0] + ends[1] + ends[2] + ends[3]);
}

/* How much of the packet the first part takes with it, 0 where two parts are not the answer. */
INLINE __u32 first_part(struct __sk_buff *skb, const struct packet *p, const struct backend *b)
{
	__u32 header = sizeof(struct iphdr), room = (b->mtu - b->overhead - header) & ~7;

	if (p->v6 || p->df || skb->gso_size || p->l3 != ETH_HLEN || p->l4 != ETH_HLEN + header || !has_mac(b) ||
	    p->proto == IPPROTO_ICMP || p->len <= header + room || p->len - header - room > room ||
	    p->len - header - room > TAIL || room > MOST)
		return 0;
	return is_finished(skb, p) ? room : 0;
}

INLINE int write_header(struct __sk_buff *skb, struct iphdr *ip, __u32 at, __u32 len, __u32 frag)
{
	__u32 sum = 0;

	ip->tot_len = bpf_htons(len);
	ip->frag_off = bpf_htons(frag);
	ip->check = 0;
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += ((__u16 *)ip)[i];
	ip->check = csum_fold(sum);
	return bpf_skb_store_bytes(skb, at, ip, sizeof(*ip), 0) < 0;
}

/* What is before a part, and where it is to go. */
APART int address_part(struct __sk_buff *skb, struct packet *p, const struct backend *b)
{
	struct ethhdr *eth = (void *)(long)skb->data;
	long sum = -1;

	if (b->method == METHOD_TUN) {
		if (b->checksum)
			sum = sum_all(skb, ETH_HLEN + b->overhead, p->len);
		eth = dress(skb, p, b, sum);
		if (!eth)
			return -1;
	} else if ((void *)(eth + 1) > (void *)(long)skb->data_end) {
		return -1;
	}
	set_macs(eth, b);
	return 0;
}

/* `first` bytes go with the first part, and the rest with the second. */
APART int cut(struct __sk_buff *skb, struct packet *p, const struct backend *b, __u32 first)
{
	__u32 zero = 0, last = p->len - sizeof(struct iphdr) - first - 1, rest, frag;
	struct tail *tail = bpf_map_lookup_elem(&tails, &zero);
	struct iphdr ip;

	OPAQUE(last);
	if (!tail || last >= TAIL)
		return TC_ACT_SHOT;
	rest = last + 1;
	if (drop_tags(skb, p) ||
	    bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) < 0 ||
	    bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(ip) + first, tail->bytes, rest) < 0)
		return TC_ACT_SHOT;
	frag = bpf_ntohs(ip.frag_off);
	ip.ttl--;
	p->extent = p->extent == WHOLE ? FIRST_FRAGMENT : p->extent;
	p->len = sizeof(ip) + first;
	if (bpf_skb_change_tail(skb, ETH_HLEN + p->len, 0) ||
	    write_header(skb, &ip, ETH_HLEN, p->len, frag | V4_MF) ||
	    (b->method == METHOD_TUN && make_way_for(skb, p, b)) || address_part(skb, p, b) ||
	    bpf_clone_redirect(skb, b->ifindex, 0))
		return TC_ACT_SHOT;
	p->len = sizeof(ip) + rest;
	/* The kernel cuts nothing off the end of what is encapsulated. Behind the outermost header it does, and what is there
	 * is written anew. */
	if ((first > rest && bpf_skb_adjust_room(skb, (int)(rest - first), BPF_ADJ_ROOM_NET, 0)) ||
	    write_header(skb, &ip, ETH_HLEN + b->overhead, p->len,
			 (frag & ~V4_OFFSET) | ((frag + first / 8) & V4_OFFSET)) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN + b->overhead + sizeof(ip), tail->bytes, rest, 0) < 0 ||
	    address_part(skb, p, b))
		return TC_ACT_SHOT;
	return bpf_redirect(b->ifindex, 0);
}
