/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0 */
/* A source of packets for measuring, run by BPF_PROG_TEST_RUN with live frames: each run writes one packet and sends it
 * out of an interface, and the kernel works on them in batches. And a sink. */
#include "../../tc-bpf/src/bpf/bpf.h"

#define BATCH 64	/* packets that are made before the first of them is worked on */
#define BATCHES 1024
#define LENGTH 60	/* of a frame */
#define PORTS 16384	/* that a made-up client uses */

struct plan {
	__u32 words[LENGTH / 4];	/* the frame, but for source address and port and the checksums */
	__u32 ifindex;
	__u32 client;		/* the first address, in the machine's order */
	__u32 flow;		/* the first one's number */
	__u32 mask;		/* number of flows less one */
	__u32 made;
	__u32 sum_ip;		/* of the words that never change */
	__u32 sum_transport;
	__u32 checksum_at;	/* where the transport's checksum is */
};

struct {
	NUMBER(type, BPF_MAP_TYPE_ARRAY);
	TYPE(key, __u32);
	TYPE(value, struct plan);
	NUMBER(max_entries, 1);
} plans SEC(".maps");

/* When each batch was begun: then all earlier ones are through. */
struct {
	NUMBER(type, BPF_MAP_TYPE_ARRAY);
	TYPE(key, __u32);
	TYPE(value, __u64);
	NUMBER(max_entries, BATCHES);
} times SEC(".maps");

static __u64 (*bpf_ktime_get_ns)(void) = (void *)BPF_FUNC_ktime_get_ns;

SEC("xdp") int source(struct xdp_md *context)
{
	void *frame = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	__u32 zero = 0, batch, flow, address, *words = frame;
	struct plan *plan = bpf_map_lookup_elem(&plans, &zero);
	struct iphdr *ip = frame + ETH_HLEN;
	__u16 port;
	__u64 *time;

	if (!plan || frame + LENGTH > end)
		return XDP_ABORTED;
	batch = plan->made / BATCH;
	if (plan->made % BATCH == 0) {
		time = bpf_map_lookup_elem(&times, &batch);
		if (time)
			*time = bpf_ktime_get_ns();
	}
	flow = plan->flow + (plan->made & plan->mask);
	plan->made++;
	/* Frames are used again, with what became of them on the way. */
#pragma unroll
	for (int i = 0; i < LENGTH / 4; i++)
		words[i] = plan->words[i];
	address = bpf_htonl(plan->client + flow / PORTS);
	port = bpf_htons(1024 + flow % PORTS);
	ip->saddr = address;
	*(__u16 *)(ip + 1) = port;
	address = (address & 0xffff) + (address >> 16);
	ip->check = csum_fold(plan->sum_ip + address);
	/* UDP's is at 40, TCP's at 50: the verifier wants to know. */
	if (plan->checksum_at == 40)
		*(__u16 *)(frame + 40) = csum_fold(plan->sum_transport + address + port);
	else
		*(__u16 *)(frame + 50) = csum_fold(plan->sum_transport + address + port);
	return bpf_redirect(plan->ifindex, 0);
}

SEC("classifier") int sink(struct __sk_buff *skb __attribute__((unused)))
{
	return TC_ACT_SHOT;
}

SEC("license") char terms[] = "Dual MIT/GPL";
