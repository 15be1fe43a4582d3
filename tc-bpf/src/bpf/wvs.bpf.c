/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0 */
/* The director's forwarding program for direct routing and tunnelling, at the ingress of the interfaces that receive
 * what is for virtual addresses. What is not ours goes on as if we were not there. */
#include "dispatch.h"
#include "dr.h"
#include "cut.h"
#include "fast.h"
#include "fragment.h"
#include "icmp.h"
#include "persist.h"

/* The backend of a connection that is in the table; its entry is renewed. Inlined: this is where packets spend
 * their time. */
INLINE struct backend *established_backend(struct packet *p, __u32 now, int dry, int *id)
{
	struct flow *f = established(p);
	struct backend *b;

	if (!f)
		return 0;
	if (begins_anew(p, f)) {
		/* Else the packets after this one would still find the old entry. */
		if (dry)
			return 0;
		if (p->v6)
			bpf_map_delete_elem(&flows6, &p->key);
		else
			bpf_map_delete_elem(&flows4, &p->key);
		return 0;
	}
	b = backend_of(f->backend, f->generation);
	if (unlikely(!b)) {
		if (!dry)
			count(EVENT_STALE);
		return 0;
	}
	*id = f->backend;
	if (dry)
		return b;
	f->seen = now;
	if (p->proto == IPPROTO_TCP)
		f->state = next_state(f->state, IPPROTO_TCP, p->flags);
	return b;
}

/* Whether a packet without entry may make one. */
INLINE int may_open(const struct packet *p)
{
	return p->proto != IPPROTO_TCP || !(p->flags & (TCP_RST | TCP_FIN));
}

/* Schedules: a backend's id, 0 where there is none, or ASKED. `dry` changes nothing. */
ONCE int new_backend(struct __sk_buff *skb, struct packet *p, const struct settings *s, int dry)
{
	__u32 key, flags, now = ticks();
	int one_packet, stateless, chosen = 0;
	struct service_stats *stats;
	struct service *service;
	struct backend *b;
	long found;

	if (!p || !s)
		return 0;
	found = find_service(skb, p, s);
	key = found;
	service = bpf_map_lookup_elem(&services, &key);
	if (found < 0 || !service)
		return 0;
	flags = service->flags;
	one_packet = p->proto == IPPROTO_UDP && flags & SERVICE_ONE_PACKET;
	stateless = !may_open(p) || (p->proto == IPPROTO_TCP && !is_syn(p));
	if (stateless && !dry)
		count(EVENT_NO_SYN);
	if (!dry && (!one_packet || flags & SERVICE_PERSISTENT) && may_open(p) && !gate_open(s, now)) {
		count(EVENT_GATE);
		stateless = 2;
	}
	if (unlikely(flags & (SERVICE_PERSISTENT | SERVICE_PINS)))
		chosen = kept_backend(p, service, key, now);
	p->persistent = flags & SERVICE_PERSISTENT && !(chosen & BY_PIN);
	if (likely(!chosen))
		chosen = choose(skb, p, key, stateless, dry);
	if (unlikely(chosen == ASKED)) {
		if (!dry && s->report_every)
			report_choice(skb, p, EVENT_ASKED, found, 0);
		return ASKED;
	}
	chosen &= 0xffff;
	key = chosen;
	b = bpf_map_lookup_elem(&backends, &key);
	if (!chosen || !b || !b->method) {
		hand_up(skb, 0);
		if (dry)
			return 0;
		count(EVENT_NO_BACKEND);
		key = found;
		stats = bpf_map_lookup_elem(&service_stats, &key);
		if (stats)
			stats->refused++;
		if (s->report_every)
			report_choice(skb, p, EVENT_NO_BACKEND, found, 0);
		return 0;
	}
	if (dry)
		return chosen;
	if (unlikely(s->report_every))
		report_choice(skb, p, REPORT_CHOSEN, found, chosen);
	p->chosen = 1;
	if (stateless == 2 || !may_open(p))
		return chosen;
	if (unlikely(p->persistent))
		keep(p, service, chosen, b->generation, now);
	if (!one_packet)
		remember(p, s, chosen, b, found, now);
	return chosen;
}

/* The backend of a packet that is in none of the established connections. */
INLINE struct backend *open(struct __sk_buff *skb, struct packet *p, const struct settings *s, __u32 now, int dry,
			    int *id)
{
	struct backend *b = 0;
	__u32 key;

	if (!dry)
		b = half_open_backend(p, s, now, id);
	if (b)
		return b;
	*id = new_backend(skb, p, s, dry);
	key = *id;
	return *id > 0 ? bpf_map_lookup_elem(&backends, &key) : 0;
}

/* Which backend a packet goes to. */
INLINE struct backend *decide(struct __sk_buff *skb, struct packet *p, const struct settings *s, __u32 now, int dry,
			      int *id)
{
	enum parsed parsed = parse(skb, p, s);
	struct backend *b;

	if (parsed == NOT_OURS)
		return 0;
	if (unlikely(p->extent == LATER_FRAGMENT))
		return fragment_backend(p, id);
	if (unlikely(parsed == ICMP))
		return icmp_backend(skb, p, s, id);
	b = established_backend(p, now, dry, id);
	if (!b)
		b = open(skb, p, s, now, dry, id);
	if (b && unlikely(p->extent == FIRST_FRAGMENT) && !dry)
		remember_fragment(p, *id, b->generation);
	return b;
}

INLINE void account(struct __sk_buff *skb, int id, __u64 chosen)
{
	__u32 key = id;
	struct backend_stats *stats = bpf_map_lookup_elem(&backend_stats, &key);

	if (!stats)
		return;
	stats->packets++;
	stats->bytes += skb->len;
	stats->connections += chosen;
}

INLINE int forward(struct __sk_buff *skb, struct packet *p, const struct settings *s, const struct backend *b, int id)
{
	__u32 first;

	if (b->method != METHOD_DR && b->method != METHOD_TUN) {
		account(skb, id, p->chosen);
		/* Not only what opens a connection: conntrack may have lost it. An error conntrack relates by itself. */
		return p->proto == IPPROTO_ICMP || p->proto == IPPROTO_ICMPV6 ? PASS : hand_up(skb, id);
	}
	if (unlikely(p->hop_limit <= 1)) {
		count(EVENT_HOP_LIMIT);
		return PASS;
	}
	if (unlikely(!fits(skb, p, b->mtu, b->overhead))) {
		first = first_part(skb, p, b);
		if (!first)
			return too_big(skb, p, s, b->mtu - b->overhead);
		account(skb, id, p->chosen);
		if (cut(skb, p, b, first) != TC_ACT_REDIRECT)
			return lost(skb, p, EVENT_TOO_BIG_UNTOLD);
		count(EVENT_CUT);
		return TC_ACT_REDIRECT;
	}
	account(skb, id, p->chosen);
	if (b->method == METHOD_DR)
		return send_direct(skb, p, b);
	return likely(b->tunnel == TUNNEL_PLAIN) ? send_plain(skb, p, b) : send_encapsulated(skb, p, b);
}

SEC("classifier") int wvs_ingress(struct __sk_buff *skb)
{
	const struct settings *s;
	__u32 zero = 0, now, ifindex;
	int id = 0;
	struct backend *b = 0;
	struct packet p;

	/* What a bridge or a promiscuous interface shows us of others' traffic. */
	if (skb->pkt_type != 0 /* PACKET_HOST */)
		return PASS;
	s = bpf_map_lookup_elem(&settings, &zero);
	if (!s)
		return PASS;
	now = ticks();
	switch (fast_way(skb, &p, s, now, &ifindex, &b, &id)) {
	case FAST_REDIRECT:
		return bpf_redirect(ifindex, 0);
	case FAST_PASS:
		return PASS;
	case FAST_FOUND:
		break;
	case FAST_MISS:
		b = open(skb, &p, s, now, 0, &id);
		break;
	default:
		__builtin_memset(&p, 0, sizeof(p));
		b = decide(skb, &p, s, now, 0, &id);
	}
	if (b)
		return forward(skb, &p, s, b, id);
	/* Not STOLEN, which TCX does not know: it would let the packet go on. */
	return id == ASKED ? TC_ACT_SHOT : PASS;
}

/* The same decision for a question: nothing is changed. The answer is the backend's id in the mark; where none takes
 * the packet, the priority says so; SHOT means that user space would be asked. */
SEC("classifier") int wvs_explain(struct __sk_buff *skb)
{
	const struct settings *s;
	struct packet p = {};
	struct backend *b;
	__u32 zero = 0;
	int id = 0;

	s = bpf_map_lookup_elem(&settings, &zero);
	if (!s)
		return PASS;
	b = decide(skb, &p, s, 0, 1, &id);
	skb->mark = b ? id : 0;
	return b ? TC_ACT_OK : id == ASKED ? TC_ACT_SHOT : PASS;
}

/* Lets a packet of user space's arrive at an interface, with its mark. The first words of `cb` say where, and which
 * VLAN tag it has beside its bytes. */
SEC("classifier") int wvs_inject(struct __sk_buff *skb)
{
	if (skb->cb[1] && bpf_skb_vlan_push(skb, skb->cb[1], skb->cb[2]))
		return -1;
	return bpf_clone_redirect(skb, skb->cb[0], BPF_F_INGRESS);
}

/* What time it is for the program. */
SEC("classifier") int wvs_clock(struct __sk_buff *skb __attribute__((unused)))
{
	return ticks();
}

/* The kernel's helpers demand a licence that is compatible with its own. */
SEC("license") char terms[] = "Dual MIT/GPL";
