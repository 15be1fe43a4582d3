/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0 */
/* Clients that stay: pins, which the operator sets, and persistence, which connections bring about. Both are looked up
 * only when a connection is new, and only for services that have them.
 *
 * Of persistent clients there are two tables, as of connections: a connection's first packet makes an entry in
 * `persistent_new`, the second moves it to `persistent`. A flood of SYNs drives out no client that has been here. */
#pragma once
#include "flow.h"

#define BY_PIN 0x10000		/* beside a backend's id: it is not persistence that says so */

/* Whether a client may go on to the backend that it was given. */
INLINE int may_keep(const struct service *service, __u16 id, __u16 generation)
{
	const struct backend *b = backend_of(id, generation);

	return b && !(b->flags & BACKEND_QUIESCED && service->flags & SERVICE_EXPIRE_QUIESCED);
}

INLINE __u32 pinned_backend(const struct packet *p, const struct service *service, __u32 number)
{
	struct pin_key key = {
		.prefix = p->v6 ? PIN_PREFIX + 128 : PIN_PREFIX + 32,
		.service = number,
		.family = p->key.family,
	};
	struct pinned *pin;

	__builtin_memcpy(key.address, p->key.addresses, 16);
	pin = bpf_map_lookup_elem(&pins, &key);
	return pin && may_keep(service, pin->backend, pin->generation) ? pin->backend | BY_PIN : 0;
}

/* A service of a group has backends of its own, with ports of their own: the client keeps the real server. */
INLINE __u32 own_backend(const struct service *service, __u32 number, const struct persistent *entry)
{
	struct kin_key key = { .service = number, .backend = entry->backend };
	struct pinned *own;

	/* An id that was handed on stands for another server. */
	if (!backend_of(entry->backend, entry->generation))
		return 0;
	own = bpf_map_lookup_elem(&kin, &key);
	return own && may_keep(service, own->backend, own->generation) ? own->backend : 0;
}

INLINE void persistent_key(const struct packet *p, const struct service *service, struct persistent_key *key)
{
	const __u32 *client = (const __u32 *)p->key.addresses, *mask = (const __u32 *)service->mask6;
	__u32 *address = (__u32 *)key->address;

	__builtin_memset(key, 0, sizeof(*key));
	if (p->v6) {
#pragma unroll
		for (int i = 0; i < 4; i++)
			address[i] = client[i] & mask[i];
	} else {
		address[0] = client[0] & *(const __u32 *)service->mask4;
	}
	key->group = service->group;
	key->family = p->key.family;
}

/* The backend that the client has already, or 0. */
ONCE __u32 kept_backend(const struct packet *p, const struct service *service, __u32 number, __u32 now)
{
	struct persistent_key key;
	struct persistent *entry;
	__u32 pinned;

	if (!p || !service)
		return 0;
	if (service->flags & SERVICE_PINS) {
		pinned = pinned_backend(p, service, number);
		if (pinned)
			return pinned;
	}
	if (!(service->flags & SERVICE_PERSISTENT))
		return 0;
	persistent_key(p, service, &key);
	entry = bpf_map_lookup_elem(&persistent, &key);
	if (!entry)
		entry = bpf_map_lookup_elem(&persistent_new, &key);
	/* The entry may be newer than `now`: then it is not old. */
	if (!entry || (int)(now - entry->seen) > (int)service->timeout)
		return 0;
	if (service->flags & SERVICE_GROUPED)
		return own_backend(service, number, entry);
	return may_keep(service, entry->backend, entry->generation) ? entry->backend : 0;
}

/* The client has got this backend, and keeps it. */
ONCE int keep(const struct packet *p, const struct service *service, __u32 id, __u32 generation, __u32 now)
{
	struct persistent fresh = { .backend = id, .generation = generation, .seen = now };
	struct persistent_key key;
	struct persistent *entry;

	if (!p || !service)
		return 0;
	persistent_key(p, service, &key);
	entry = bpf_map_lookup_elem(&persistent, &key);
	if (entry)
		/* One word: nobody sees one backend's id with another's generation. */
		*(__u64 *)entry = *(__u64 *)&fresh;
	else if (bpf_map_update_elem(&persistent_new, &key, &fresh, BPF_ANY))
		count(EVENT_TABLE_FULL);
	return 0;
}

/* A second packet: its client's entry is one of those that stay. */
ONCE int prove_client(const struct packet *p, const struct flow *f)
{
	struct persistent proved = {};
	struct persistent_key key;
	struct persistent *entry;
	struct service *service;
	__u32 number;

	if (!p || !f)
		return 0;
	number = f->service;
	service = bpf_map_lookup_elem(&services, &number);
	if (!service || !(service->flags & SERVICE_PERSISTENT))
		return 0;
	persistent_key(p, service, &key);
	if (bpf_map_lookup_elem(&persistent, &key))
		return 0;
	/* The client may have got another backend meanwhile. */
	entry = bpf_map_lookup_elem(&persistent_new, &key);
	if (entry) {
		*(__u64 *)&proved = *(__u64 *)entry;
	} else {
		proved.backend = f->backend;
		proved.generation = f->generation;
	}
	proved.seen = f->seen;
	if (bpf_map_update_elem(&persistent, &key, &proved, BPF_ANY))
		count(EVENT_TABLE_FULL);
	else
		bpf_map_delete_elem(&persistent_new, &key);
	return 0;
}
