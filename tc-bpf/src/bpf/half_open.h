/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0 */
/* Connections of which one packet was seen: arrays, in which a connection's hash names a set of four ways, and a
 * set's oldest way gives place to a newcomer. An entry in the kernel's LRU hash would cost some 700 instructions more,
 * for lists and locks.
 *
 * Here are no locks. CPUs that write one way at one time may leave the name of one connection with the backend of
 * another; therefore the name carries a stamp of the backend, and what does not match is not there. User space takes
 * an entry out by exchanging its name's first word for zero, if that is still the same. */
#pragma once
#include "parse.h"

/* Over everything that says where the connection goes. It lies in the two bytes that are zero in names elsewhere. */
INLINE __u64 stamp(const struct flow *f)
{
	return (__u64)(f->backend + f->generation * 0x9e37u + f->service * 0x79b1u) << 48;
}

INLINE __u64 mix(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
	return hash ^ hash >> 32;
}

INLINE __u32 set_of(const struct packet *p, const struct settings *s, int words)
{
	const __u64 *name = (const __u64 *)&p->key;
	__u64 hash = s->half_open_seed;

#pragma unroll
	for (int i = 0; i < words; i++)
		hash = mix(hash, name[i]);
	return (hash >> 32) * s->half_open_sets >> 32;
}

INLINE int same_name(const __u64 *name, const struct packet *p, int words)
{
	const __u64 *wanted = (const __u64 *)&p->key;

	if ((name[0] ^ wanted[0]) << 16)
		return 0;
#pragma unroll
	for (int i = 1; i < words; i++)
		if (name[i] != wanted[i])
			return 0;
	return 1;
}

#define NAME4 (sizeof(struct flow_key4) / 8)
#define NAME6 (sizeof(struct flow_key) / 8)

/* The way that has the packet's connection. */
#define FIND_WAY(set, words)								\
	_Pragma("unroll") for (int i = 0; i < HALF_OPEN_WAYS; i++) {			\
		const __u64 *name = (const __u64 *)&set->ways[i].key;			\
		if (same_name(name, p, words)) {					\
			struct flow *f = &set->ways[i].flow;				\
			return (name[0] ^ stamp(f)) >> 48 ? 0 : f;			\
		}									\
	}

INLINE struct flow *half_open_flow4(const struct packet *p, const struct settings *s)
{
	__u32 i = set_of(p, s, NAME4);
	struct half_open_set4 *set = bpf_map_lookup_elem(&half_open4, &i);

	if (set)
		FIND_WAY(set, NAME4);
	return 0;
}

APART struct flow *half_open_flow6(const struct packet *p, const struct settings *s)
{
	__u32 i = set_of(p, s, NAME6);
	struct half_open_set6 *set = bpf_map_lookup_elem(&half_open6, &i);

	if (set)
		FIND_WAY(set, NAME6);
	return 0;
}

INLINE struct flow *half_open(const struct packet *p, const struct settings *s)
{
	return p->v6 ? half_open_flow6(p, s) : half_open_flow4(p, s);
}

/* The way for a new entry: the one that has its name, else an empty one, else the oldest. */
#define CHOOSE_WAY(set, words)								\
	_Pragma("unroll") for (int i = 0; i < HALF_OPEN_WAYS; i++) {			\
		const __u64 *name = (const __u64 *)&set->ways[i].key;			\
		__u64 age = name[0] ? (__u32)(f->seen - set->ways[i].flow.seen) : 1ull << 32; \
		if (same_name(name, p, words))						\
			age = 1ull << 33;						\
		if (age >= most) {							\
			most = age;							\
			chosen = (__u64 *)&set->ways[i];				\
		}									\
	}

#define FLOW (sizeof(struct flow) / 8)

/* What is known, and the name with its stamp. */
INLINE void fill_way(__u64 *way, const struct packet *p, const struct flow *f, int words)
{
	const __u64 *name = (const __u64 *)&p->key;

	*(struct flow *)way = *f;
	way[FLOW] = name[0] | stamp(f);
#pragma unroll
	for (int i = 1; i < words; i++)
		way[FLOW + i] = name[i];
}

INLINE int remember_half_open4(const struct packet *p, const struct settings *s, const struct flow *f)
{
	__u32 i = set_of(p, s, NAME4);
	struct half_open_set4 *set = bpf_map_lookup_elem(&half_open4, &i);
	__u64 most = 0, *chosen;

	if (!set)
		return -1;
	chosen = (__u64 *)set;
	CHOOSE_WAY(set, NAME4);
	fill_way(chosen, p, f, NAME4);
	return 0;
}

APART int remember_half_open6(const struct packet *p, const struct settings *s, const struct flow *f)
{
	__u32 i = set_of(p, s, NAME6);
	struct half_open_set6 *set = bpf_map_lookup_elem(&half_open6, &i);
	__u64 most = 0, *chosen;

	if (!set)
		return -1;
	chosen = (__u64 *)set;
	CHOOSE_WAY(set, NAME6);
	fill_way(chosen, p, f, NAME6);
	return 0;
}

INLINE int remember_half_open(const struct packet *p, const struct settings *s, const struct flow *f)
{
	return p->v6 ? remember_half_open6(p, s, f) : remember_half_open4(p, s, f);
}

/* Takes out the entry that `f` lies in. */
INLINE void forget_half_open(struct flow *f)
{
	*(__u64 *)(f + 1) = 0;
}
