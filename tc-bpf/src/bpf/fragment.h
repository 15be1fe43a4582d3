/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0 */
/* Only a datagram's first fragment has ports; the others follow it. */
#pragma once
#include "flow.h"

INLINE void fragment_key(const struct packet *p, struct fragment_key *key)
{
	__builtin_memcpy(key->addresses, p->key.addresses, 32);
	key->id = p->fragment;
	key->proto = p->proto;
	key->family = p->key.family;
	key->pad[0] = key->pad[1] = 0;
}

APART void remember_fragment(const struct packet *p, __u16 id, __u16 generation)
{
	struct fragment_way way = { .backend = id, .generation = generation };
	struct fragment_key key;

	fragment_key(p, &key);
	bpf_map_update_elem(&fragments, &key, &way, BPF_ANY);
}

APART struct backend *fragment_backend(const struct packet *p, int *id)
{
	struct fragment_key key;
	struct fragment_way *way;

	fragment_key(p, &key);
	way = bpf_map_lookup_elem(&fragments, &key);
	if (!way) {
		count(EVENT_FRAGMENT);
		return 0;
	}
	*id = way->backend;
	return backend_of(way->backend, way->generation);
}
