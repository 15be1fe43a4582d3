/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0 */
/* New connections: which service, and which backend its table names. */
#pragma once
#include "flowring.h"

/* Bob Jenkins's lookup3 (public domain) over words, as the kernel's jhash and so nftables compute it. */
#define ROTATE(x, n) ((x) << (n) | (x) >> (32 - (n)))
INLINE __u32 jhash(const __u32 *k, __u32 words, __u32 seed)
{
	__u32 a, b, c;

	a = b = c = 0xdeadbeef + words * 4 + seed;
#pragma unroll
	for (int i = 0; i < 4; i++) {
		if (words <= 3)
			break;
		a += k[0];
		b += k[1];
		c += k[2];
		a -= c; a ^= ROTATE(c, 4); c += b;
		b -= a; b ^= ROTATE(a, 6); a += c;
		c -= b; c ^= ROTATE(b, 8); b += a;
		a -= c; a ^= ROTATE(c, 16); c += b;
		b -= a; b ^= ROTATE(a, 19); a += c;
		c -= b; c ^= ROTATE(b, 4); b += a;
		words -= 3;
		k += 3;
	}
	if (words > 2)
		c += k[2];
	if (words > 1)
		b += k[1];
	a += k[0];
	c ^= b; c -= ROTATE(b, 14);
	a ^= c; a -= ROTATE(c, 11);
	b ^= a; b -= ROTATE(a, 25);
	c ^= b; c -= ROTATE(b, 16);
	a ^= c; a -= ROTATE(c, 4);
	b ^= a; b -= ROTATE(a, 14);
	c ^= b; c -= ROTATE(b, 24);
	return c;
}

/* nftables' concatenations: each field on its own words, ports in the first two bytes of theirs. */
INLINE __u32 hash4(const struct packet *p, __u32 kind, __u32 seed)
{
	__u32 address[2], k[4];

	__builtin_memcpy(address, p->key.addresses, 8);
	k[0] = address[0];
	k[1] = p->key.sport;
	k[2] = address[1];
	k[3] = p->key.dport;
	if (kind == TABLE_BOTH)
		return jhash(k, 4, seed);
	if (kind == TABLE_DESTINATION)
		return jhash(k + 2, 1, seed);
	return kind == TABLE_SOURCE_PORT ? jhash(k, 2, seed) : jhash(k, 1, seed);
}

INLINE __u32 hash6(const struct packet *p, __u32 kind, __u32 seed)
{
	__u32 k[10];

	__builtin_memcpy(k, p->key.addresses, 16);
	k[4] = p->key.sport;
	__builtin_memcpy(k + 5, p->key.addresses + 16, 16);
	k[9] = p->key.dport;
	if (kind == TABLE_BOTH)
		return jhash(k, 10, seed);
	if (kind == TABLE_DESTINATION)
		return jhash(k + 5, 4, seed);
	return kind == TABLE_SOURCE_PORT ? jhash(k, 5, seed) : jhash(k, 4, seed);
}

/* Apart, because the words would lie on the stack of all that follows. */
ONCE __u32 hash(const struct packet *p, __u32 kind, __u32 seed)
{
	if (!p)
		return 0;
	return p->v6 ? hash6(p, kind, seed) : hash4(p, kind, seed);
}

/* The backend that the table names: its id, 0 where none is, or ASKED. `stateless` packets open nothing that is
 * remembered, so the client's hash chooses for all of them alike. */
INLINE int choose(struct __sk_buff *skb, struct packet *p, __u32 service, int stateless, int dry)
{
	void *table = bpf_map_lookup_elem(&tables, &service);
	__u32 i = 0, *head, *seed, *slot, kind, slots;
	int asking, answer;
	__u64 *cycle;

	if (!table)
		return 0;
	head = bpf_map_lookup_elem(table, &i);
	if (!head)
		return 0;
	kind = *head >> TABLE_KIND_SHIFT;
	slots = *head & ((1 << TABLE_KIND_SHIFT) - 1);
	if (!slots)
		return 0;
	if (kind == TABLE_CYCLE && !stateless) {
		cycle = bpf_map_lookup_elem(&cycles, &service);
		if (!cycle)
			return 0;
		i = (dry ? *cycle : __sync_fetch_and_add(cycle, 1)) % slots;
	} else {
		i = 1;
		seed = bpf_map_lookup_elem(table, &i);
		if (!seed)
			return 0;
		asking = kind == TABLE_FLOW;
		if (kind == TABLE_CYCLE || asking)
			kind = TABLE_SOURCE_PORT;
		i = hash(p, kind, *seed);
		if (unlikely(asking)) {
			answer = ask(skb, p, service, i, dry ? DRY : stateless ? ONLY_ANSWERS : MAY_ASK);
			if (answer)
				return answer == NOBODY ? 0 : answer;
		}
		i = (__u64)i * slots >> 32;
	}
	i += TABLE_SLOTS;
	slot = bpf_map_lookup_elem(table, &i);
	return slot ? *slot : 0;
}

/* Most listeners of IPv4 are found at once. */
INLINE const struct shortcut *shortcut(const struct packet *p)
{
	__u32 address, i;
	const struct shortcut *found;
	__u64 name;

	__builtin_memcpy(&address, p->key.addresses + 4, 4);
	name = SHORTCUT_USED | (__u64)p->proto << 48 | (__u64)p->key.dport << 32 | address;
	i = name * SHORTCUT_HASH >> (64 - SHORTCUT_BITS);
	found = bpf_map_lookup_elem(&shortcuts, &i);
	return found && found->name == name ? found : 0;
}

/* The number of the service that listens here, or -1. Marks first, then the port, then all ports, as IPVS. */
INLINE long find_service(struct __sk_buff *skb, struct packet *p, const struct settings *s)
{
	struct listener l = {};
	__u32 mark = skb->mark, *service;
	const struct shortcut *short_way;

	if (s->marks && mark) {
		l.kind = p->key.family;		/* KIND_MARK4 or KIND_MARK6 */
		__builtin_memcpy(l.address, &mark, 4);
		service = bpf_map_lookup_elem(&listeners, &l);
		if (service)
			return *service;
	}
	l.kind = KIND_ADDRESS;
	if (p->v6) {
		__builtin_memcpy(l.address, p->key.addresses + 16, 16);
	} else {
		short_way = shortcut(p);
		if (likely(short_way))
			return short_way->service;
		__builtin_memset(l.address, 0, 12);
		l.address[10] = l.address[11] = 0xff;
		__builtin_memcpy(l.address + 12, p->key.addresses + 4, 4);
	}
	l.proto = p->proto;
	l.port = p->key.dport;
	service = bpf_map_lookup_elem(&listeners, &l);
	if (service)
		return *service;
	l.port = 0;
	service = bpf_map_lookup_elem(&listeners, &l);
	return service ? (long)*service : -1;
}
