/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0 */
/* Services whose director is asked for each connection: the packet that begins one goes to user space as a whole, and
 * is at an end here. User space writes the answer down and lets the packet arrive again; then the answer is found.
 * Where nobody answers, the hash chooses as for other tables. */
#pragma once
#include "flow.h"

#define ASKED (-1)
#define NOBODY (-2)

enum asking_mode {
	MAY_ASK,
	ONLY_ANSWERS,		/* of what opens nothing */
	DRY,
};

struct asked_small {
	struct asked head;
	__u8 frame[ASKED_SMALL];
};

struct asked_large {
	struct asked head;
	__u8 frame[ASKED_LARGE];
};

INLINE void fill_head(struct asked *head, struct __sk_buff *skb, const struct packet *p, __u32 service, __u32 hash,
		      __u32 now)
{
	head->key = p->key;
	head->service = service;
	head->hash = hash;
	head->mark = skb->mark;
	head->ifindex = skb->ifindex;
	head->tick = now;
	head->length = skb->len;
	head->l4 = p->l4;
	head->end = p->l3 + p->len;
	head->vlan_proto = skb->vlan_present ? skb->vlan_proto : 0;
	head->vlan_tci = skb->vlan_tci;
}

/* Records are of two sizes, because the kernel wants to know the size beforehand: nearly all are SYNs. */
#define SUBMIT(kind)									\
	do {										\
		struct kind *record = bpf_ringbuf_reserve(&asked, sizeof(*record), 0);	\
		if (!record)								\
			return -1;							\
		fill_head(&record->head, skb, p, service, hash, now);			\
		if (bpf_skb_load_bytes(skb, 0, record->frame, length) < 0) {		\
			bpf_ringbuf_discard(record, 0);					\
			return -1;							\
		}									\
		bpf_ringbuf_submit(record, 0);						\
		return 0;								\
	} while (0)

INLINE int submit(struct __sk_buff *skb, const struct packet *p, __u32 service, __u32 hash, __u32 now)
{
	__u32 length = skb->len;

	/* What GRO has merged, and fragments, cannot arrive again as they are. */
	if (length < ETH_HLEN || length > ASKED_LARGE || skb->gso_size || p->extent != WHOLE)
		return -1;
	if (length <= ASKED_SMALL)
		SUBMIT(asked_small);
	SUBMIT(asked_large);
}

/* The backend that user space has answered with, NOBODY if none is to get the connection; ASKED if the packet is on its
 * way there; 0 if nobody answers. */
ONCE int ask(struct __sk_buff *skb, const struct packet *p, __u32 service, __u32 hash, __u32 mode)
{
	__u32 zero = 0, now = ticks();
	struct answer *answer;
	struct asking *state;
	struct flow_key key;
	int undecided = 0;

	if (!p)
		return 0;
	state = bpf_map_lookup_elem(&asking, &zero);
	if (!state)
		return 0;
	key = p->key;
	answer = bpf_map_lookup_elem(&answers, &key);
	/* The answer may be newer than `now`: then it is not old. */
	if (answer && (int)(now - answer->given) <= (int)state->patience) {
		if (backend_of(answer->backend, answer->generation))
			return answer->backend;
		if (!answer->backend && answer->generation == ANSWER_NOBODY)
			return NOBODY;
		undecided = !answer->backend;
	}
	if (mode == ONLY_ANSWERS)
		return 0;
	if (!undecided && state->patience && (int)(now - state->heartbeat) <= (int)state->patience) {
		if (mode == DRY)
			return ASKED;
		if (!submit(skb, p, service, hash, now)) {
			count(EVENT_ASKED);
			return ASKED;
		}
	}
	if (mode != DRY)
		count(EVENT_UNASKED);
	return 0;
}
