/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0 */
/* Tunnels that are more than IP in IP: GRE, GUE, and outer addresses that tell flows apart. */
#pragma once
#include "half_open.h"
#include "tun.h"

#define GRE_CHECKSUM 0x8000

struct gre {
	__be16 flags;
	__be16 proto;
	__u16 check;		/* this and the next only with the flag */
	__be16 reserved;
};

struct gue {
	__be16 source;
	__be16 dest;
	__be16 len;
	__u16 check;
	__u8 version;		/* and that it is data, and no options */
	__u8 proto;
	__be16 flags;
};

/* The packet's flow as a number, for those on the way who spread flows by the outer header. Of fragments, which must
 * not overtake each other, the ports do not count. */
INLINE __u32 entropy(const struct packet *p)
{
	const __u64 *name = (const __u64 *)&p->key;
	__u64 hash = mix(0, p->extent == WHOLE ? name[0] : name[0] >> 32 << 32);
	__u32 words = p->v6 ? NAME6 : NAME4;

	hash = mix(hash, name[1]);
	if (p->v6) {
		hash = mix(hash, name[2]);
		hash = mix(hash, name[3]);
		hash = mix(hash, name[4]);
	}
	return hash >> 32;
}

/* Sums of 16-bit words as they are in memory. Their carries are added at the end. */
INLINE __u32 carry(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

#define PIECE 64
#define PIECES 160	/* more than a jumbo frame */

/* Over a whole packet. */
ONCE int sum_all(struct __sk_buff *skb, __u32 at, __u32 len)
{
	__u8 piece[PIECE] = {};
	__u32 sum = 0, last;

	for (int i = 0; i < PIECES && len >= PIECE; i++) {
		if (bpf_skb_load_bytes(skb, at, piece, PIECE) < 0)
			return -1;
		sum = carry(bpf_csum_diff(0, 0, (__be32 *)piece, PIECE, sum));
		at += PIECE;
		len -= PIECE;
	}
	if (len >= PIECE)
		return -1;
	__builtin_memset(piece, 0, PIECE);
	last = len - 1;
	OPAQUE(last);
	if (len && (last >= PIECE || bpf_skb_load_bytes(skb, at, piece, last + 1) < 0))
		return -1;
	return carry(bpf_csum_diff(0, 0, (__be32 *)piece, PIECE, sum));
}

/* Over the packet, which begins behind Ethernet's header. Where its own checksums hold, or will when a device has filled
 * them in, they say what the sum is (Linux calls that local checksum offload): IPv4's header adds up to nothing, and TCP,
 * UDP and ICMP to the inverse of what they have before them in mind. */
INLINE long sum_packet(struct __sk_buff *skb, const struct packet *p)
{
	__u32 header = p->l4 - p->l3, pseudo = bpf_htons(p->len - header) + bpf_htons(p->proto);
	const __u16 *ends = (const __u16 *)p->key.addresses;
	__u16 words[4], check = 1;

	if (p->extent != WHOLE || p->proto == IPPROTO_SCTP || (p->v6 && header != sizeof(struct ipv6hdr)))
		return sum_all(skb, ETH_HLEN, p->len);
	if (p->proto == IPPROTO_UDP && bpf_skb_load_bytes(skb, ETH_HLEN + header + 6, &check, 2) < 0)
		return -1;
	if (!check)
		return sum_all(skb, ETH_HLEN, p->len);
	if (p->v6) {
		/* The addresses are in both. */
		if (bpf_skb_load_bytes(skb, ETH_HLEN, words, 8) < 0)
			return -1;
		return words[0] + words[1] + words[2] + words[3] + (0xffff ^ carry(pseudo));
	}
	if (p->proto == IPPROTO_ICMP)
		return 0;
	return 0xffff ^ carry(pseudo + ends[0] + ends[1] + ends[2] + ends[3]);
}

INLINE void write_gre(struct gre *gre, const struct packet *p, const struct backend *b, long sum)
{
	gre->flags = b->checksum ? bpf_htons(GRE_CHECKSUM) : 0;
	gre->proto = p->v6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	if (!b->checksum)
		return;
	gre->check = csum_fold(sum + gre->flags + gre->proto);
	gre->reserved = 0;
}

/* `ends` are the outer addresses, which the checksum covers, too. */
INLINE void write_gue(struct gue *gue, const struct packet *p, const struct backend *b, __u32 hash, long sum,
		      const __u16 *ends, int words)
{
	__u32 len = p->len + sizeof(*gue);

	gue->source = bpf_htons(0xc000 | hash >> 18);
	gue->dest = b->port;
	gue->len = len > 0xffff ? 0 : bpf_htons(len);
	gue->check = 0;
	gue->version = 0;
	gue->proto = inner_proto(p);
	gue->flags = 0;
	if (sum < 0)
		return;
	sum += bpf_htons(IPPROTO_UDP) + gue->len;
#pragma unroll
	for (int i = 0; i < 16; i++)
		if (i < words)
			sum += ends[i];
	sum += gue->source + gue->dest + gue->len + *(__u16 *)&gue->version;
	gue->check = csum_fold(sum);
	if (!gue->check)
		gue->check = 0xffff;
}

/* What is behind the outer IP header. */
INLINE void write_between(void *at, const struct packet *p, const struct backend *b, __u32 hash, long sum,
			  const __u16 *ends, int words)
{
	if (b->tunnel == TUNNEL_GRE)
		write_gre(at, p, b, sum);
	else if (b->tunnel == TUNNEL_GUE)
		write_gue(at, p, b, hash, sum, ends, words);
}

/* All that is before the packet, where make_way_for() has made room. */
INLINE struct ethhdr *dress(struct __sk_buff *skb, const struct packet *p, const struct backend *b, long sum)
{
	struct ethhdr *eth = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	__u32 hash = entropy(p), host = 0, between;
	__u8 proto = b->tunnel == TUNNEL_GRE ? IPPROTO_GRE : b->tunnel == TUNNEL_GUE ? IPPROTO_UDP : inner_proto(p);

	if (b->source_bits)
		host = bpf_htonl(b->source_bits < 32 ? hash >> (32 - b->source_bits) : hash);
	if (b->family == 4) {
		struct iphdr *ip = (void *)(eth + 1);

		if ((void *)(ip + 1) + sizeof(struct gue) > end)
			return 0;
		between = b->overhead - sizeof(*ip);
		eth->h_proto = bpf_htons(ETH_P_IP);
		write_outer4(ip, p, b, proto, between, host);
		write_between(ip + 1, p, b, hash, sum, (const __u16 *)&ip->saddr, 4);
	} else {
		struct ipv6hdr *ip = (void *)(eth + 1);

		if ((void *)(ip + 1) + sizeof(struct gue) > end)
			return 0;
		between = b->overhead - sizeof(*ip);
		eth->h_proto = bpf_htons(ETH_P_IPV6);
		write_outer6(ip, p, b, proto, between, host);
		write_between(ip + 1, p, b, hash, sum, (const __u16 *)&ip->saddr, 16);
	}
	return eth;
}

INLINE int make_way_for(struct __sk_buff *skb, const struct packet *p, const struct backend *b)
{
	__u64 flags = b->tunnel == TUNNEL_GRE ? BPF_F_ADJ_ROOM_ENCAP_L4_GRE :
		      b->tunnel == TUNNEL_GUE ? BPF_F_ADJ_ROOM_ENCAP_L4_UDP : 0;

	return make_room(skb, p, b, b->overhead, flags);
}

APART int send_encapsulated(struct __sk_buff *skb, struct packet *p, const struct backend *b)
{
	struct ethhdr *eth;
	long sum = -1;

	if (unlikely(drop_tags(skb, p)))
		return lost(skb, p, EVENT_VLAN);
	if (count_hop(skb, p))
		return TC_ACT_SHOT;
	/* The kernel puts no checksum into each segment that it makes of this. UDP may do without; GRE's receivers refuse
	 * what has none if they expect one. */
	if (b->checksum && !skb->gso_size)
		sum = sum_packet(skb, p);
	if ((b->checksum && sum < 0 && !(b->tunnel == TUNNEL_GUE && skb->gso_size)) || make_way_for(skb, p, b))
		return lost(skb, p, EVENT_ENCAPSULATION);
	eth = dress(skb, p, b, sum);
	return eth ? leave(eth, b) : TC_ACT_SHOT;
}
