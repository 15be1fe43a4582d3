/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0 */
/* The maps. Every one is pinned, so that none begins empty when the program is replaced. The loader sets the sizes. */
#pragma once
#include "bpf.h"
#include "layout.h"

#define MAP(name, kind, k, v, entries)		\
	struct {				\
		NUMBER(type, kind);		\
		TYPE(key, k);			\
		TYPE(value, v);			\
		NUMBER(max_entries, entries);	\
		NUMBER(pinning, PIN_BY_NAME);	\
	} name SEC(".maps")

/* User space sees its memory, and changes single words of it. */
#define SHARED_ARRAY(name, v)				\
	struct {					\
		NUMBER(type, BPF_MAP_TYPE_ARRAY);	\
		TYPE(key, __u32);			\
		TYPE(value, v);				\
		NUMBER(max_entries, 1);			\
		NUMBER(map_flags, BPF_F_MMAPABLE);	\
		NUMBER(pinning, PIN_BY_NAME);		\
	} name SEC(".maps")

MAP(settings, BPF_MAP_TYPE_ARRAY, __u32, struct settings, 1);
MAP(gates, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct gate, 1);
MAP(listeners, BPF_MAP_TYPE_HASH, struct listener, __u32, 1);
MAP(shortcuts, BPF_MAP_TYPE_ARRAY, __u32, struct shortcut, 1 << SHORTCUT_BITS);
MAP(services, BPF_MAP_TYPE_ARRAY, __u32, struct service, 1);
MAP(cycles, BPF_MAP_TYPE_ARRAY, __u32, __u64, 1);
MAP(backends, BPF_MAP_TYPE_ARRAY, __u32, struct backend, 1);
MAP(flows4, BPF_MAP_TYPE_LRU_HASH, struct flow_key4, struct flow, 1);
MAP(flows6, BPF_MAP_TYPE_LRU_HASH, struct flow_key, struct flow, 1);
SHARED_ARRAY(half_open4, struct half_open_set4);
SHARED_ARRAY(half_open6, struct half_open_set6);
MAP(fragments, BPF_MAP_TYPE_LRU_HASH, struct fragment_key, struct fragment_way, 1);
MAP(persistent, BPF_MAP_TYPE_LRU_HASH, struct persistent_key, struct persistent, 1);
MAP(persistent_new, BPF_MAP_TYPE_LRU_HASH, struct persistent_key, struct persistent, 1);
MAP(kin, BPF_MAP_TYPE_HASH, struct kin_key, struct pinned, 1);
MAP(backend_stats, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct backend_stats, 1);
MAP(service_stats, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct service_stats, 1);
MAP(events, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, __u64, EVENTS);

MAP(answers, BPF_MAP_TYPE_LRU_HASH, struct flow_key, struct answer, ANSWERS);
MAP(asking, BPF_MAP_TYPE_ARRAY, __u32, struct asking, 1);

#define RING(name, bytes)				\
	struct {					\
		NUMBER(type, BPF_MAP_TYPE_RINGBUF);	\
		NUMBER(max_entries, bytes);		\
		NUMBER(pinning, PIN_BY_NAME);		\
	} name SEC(".maps")

RING(asked, ASKED_RING);
RING(reports, REPORT_RING);

/* The kernel wants tries to take memory as they grow. */
struct {
	NUMBER(type, BPF_MAP_TYPE_LPM_TRIE);
	TYPE(key, struct pin_key);
	TYPE(value, struct pinned);
	NUMBER(max_entries, 1);
	NUMBER(map_flags, BPF_F_NO_PREALLOC);
	NUMBER(pinning, PIN_BY_NAME);
} pins SEC(".maps");

/* A service's dispatch table. The kernel exchanges one for another by one pointer (Linux 5.10: of another size). */
struct table {
	NUMBER(type, BPF_MAP_TYPE_ARRAY);
	TYPE(key, __u32);
	TYPE(value, __u32);
	NUMBER(max_entries, 3);
	NUMBER(map_flags, BPF_F_INNER_MAP);
};
struct {
	NUMBER(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	TYPE(key, __u32);
	NUMBER(max_entries, 1);
	NUMBER(pinning, PIN_BY_NAME);
	struct table *values[];
} tables SEC(".maps");

INLINE void count(enum event event)
{
	__u32 key = event;
	__u64 *n = bpf_map_lookup_elem(&events, &key);

	if (n)
		++*n;
}

/* The kernel's ticks, which cost three instructions; a clock in nanoseconds costs seventy. */
INLINE __u32 ticks(void)
{
	return bpf_jiffies64();
}
