/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0 */
/* Written by src/layout.rs, where the comments are. WVS_BLESS=1 cargo test layout rewrites it. */
#pragma once
#include <linux/types.h>

#define KIND_ADDRESS 0x0
#define KIND_MARK4 0x4
#define KIND_MARK6 0x6
#define PRIORITY_TAG 0x77760000
#define SERVICE_ONE_PACKET 0x1
#define SERVICE_PERSISTENT 0x2
#define SERVICE_EXPIRE_QUIESCED 0x4
#define SERVICE_PINS 0x8
#define SERVICE_GROUPED 0x10
#define SERVICE_KNOWN 0x80000000
#define PIN_PREFIX 0x20
#define BACKEND_QUIESCED 0x1
#define FLOW_PERSISTENT 0x1
#define METHOD_NAT 0x1
#define METHOD_DR 0x2
#define METHOD_TUN 0x3
#define METHOD_LOCAL 0x4
#define TUNNEL_PLAIN 0x0
#define TUNNEL_IPIP 0x1
#define TUNNEL_GRE 0x2
#define TUNNEL_GUE 0x3
#define STATE_SYN 0x1
#define STATE_ESTABLISHED 0x2
#define STATE_FIN 0x3
#define STATE_TIME_WAIT 0x4
#define STATE_CLOSED 0x5
#define STATE_DATAGRAM 0x6
#define TABLE_CYCLE 0x0
#define TABLE_SOURCE 0x1
#define TABLE_SOURCE_PORT 0x2
#define TABLE_DESTINATION 0x3
#define TABLE_BOTH 0x4
#define TABLE_FLOW 0x5
#define TABLE_KIND_SHIFT 0x18
#define TABLE_SLOTS 0x2
#define REPORT_CHOSEN 0xffff
#define REPORT_NO_SERVICE 0xffff
#define REPORT_RING 0x40000
#define ASKED_SMALL 0xb8
#define ASKED_LARGE 0x7b8
#define ASKED_RING 0x100000
#define ANSWERS 0x4000
#define ANSWER_NOBODY 0x0
#define ANSWER_UNDECIDED 0x1
#define HALF_OPEN_WAYS 0x4
#define SHORTCUT_BITS 0xc
#define SHORTCUT_USED 0x100000000000000
#define SHORTCUT_HASH 0x9e3779b97f4a7c15
#define GATE_TICKS 0x5
#define EVENTS 17

enum event {
	EVENT_NO_BACKEND = 0,
	EVENT_TOO_BIG = 1,
	EVENT_TOO_BIG_UNTOLD = 2,
	EVENT_ENCAPSULATION = 3,
	EVENT_VLAN = 4,
	EVENT_HOP_LIMIT = 5,
	EVENT_FRAGMENT = 6,
	EVENT_ICMP_UNKNOWN = 7,
	EVENT_MALFORMED = 8,
	EVENT_STALE = 9,
	EVENT_GATE = 10,
	EVENT_TABLE_FULL = 11,
	EVENT_NO_SYN = 12,
	EVENT_ASKED = 13,
	EVENT_UNASKED = 14,
	EVENT_CUT = 15,
	EVENT_UNREPORTED = 16,
};

struct flow_key4 {
	__u16 sport;
	__u16 dport;
	__u8 proto;
	__u8 family;
	__u8 pad[2];
	__u8 saddr[4];
	__u8 daddr[4];
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct flow_key4) == 16, "flow_key4");
_Static_assert(__builtin_offsetof(struct flow_key4, sport) == 0, "flow_key4.sport");
_Static_assert(__builtin_offsetof(struct flow_key4, dport) == 2, "flow_key4.dport");
_Static_assert(__builtin_offsetof(struct flow_key4, proto) == 4, "flow_key4.proto");
_Static_assert(__builtin_offsetof(struct flow_key4, family) == 5, "flow_key4.family");
_Static_assert(__builtin_offsetof(struct flow_key4, pad) == 6, "flow_key4.pad");
_Static_assert(__builtin_offsetof(struct flow_key4, saddr) == 8, "flow_key4.saddr");
_Static_assert(__builtin_offsetof(struct flow_key4, daddr) == 12, "flow_key4.daddr");

struct flow_key {
	__u16 sport;
	__u16 dport;
	__u8 proto;
	__u8 family;
	__u8 pad[2];
	__u8 addresses[32];
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct flow_key) == 40, "flow_key");
_Static_assert(__builtin_offsetof(struct flow_key, sport) == 0, "flow_key.sport");
_Static_assert(__builtin_offsetof(struct flow_key, dport) == 2, "flow_key.dport");
_Static_assert(__builtin_offsetof(struct flow_key, proto) == 4, "flow_key.proto");
_Static_assert(__builtin_offsetof(struct flow_key, family) == 5, "flow_key.family");
_Static_assert(__builtin_offsetof(struct flow_key, pad) == 6, "flow_key.pad");
_Static_assert(__builtin_offsetof(struct flow_key, addresses) == 8, "flow_key.addresses");

struct flow {
	__u16 backend;
	__u16 generation;
	__u32 seen;
	__u16 service;
	__u8 state;
	__u8 flags;
	__u32 opened;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct flow) == 16, "flow");
_Static_assert(__builtin_offsetof(struct flow, backend) == 0, "flow.backend");
_Static_assert(__builtin_offsetof(struct flow, generation) == 2, "flow.generation");
_Static_assert(__builtin_offsetof(struct flow, seen) == 4, "flow.seen");
_Static_assert(__builtin_offsetof(struct flow, service) == 8, "flow.service");
_Static_assert(__builtin_offsetof(struct flow, state) == 10, "flow.state");
_Static_assert(__builtin_offsetof(struct flow, flags) == 11, "flow.flags");
_Static_assert(__builtin_offsetof(struct flow, opened) == 12, "flow.opened");

struct half_open4 {
	struct flow flow;
	struct flow_key4 key;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct half_open4) == 32, "half_open4");
_Static_assert(__builtin_offsetof(struct half_open4, flow) == 0, "half_open4.flow");
_Static_assert(__builtin_offsetof(struct half_open4, key) == 16, "half_open4.key");

struct half_open6 {
	struct flow flow;
	struct flow_key key;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct half_open6) == 56, "half_open6");
_Static_assert(__builtin_offsetof(struct half_open6, flow) == 0, "half_open6.flow");
_Static_assert(__builtin_offsetof(struct half_open6, key) == 16, "half_open6.key");

struct half_open_set4 {
	struct half_open4 ways[4];
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct half_open_set4) == 128, "half_open_set4");
_Static_assert(__builtin_offsetof(struct half_open_set4, ways) == 0, "half_open_set4.ways");

struct half_open_set6 {
	struct half_open6 ways[4];
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct half_open_set6) == 224, "half_open_set6");
_Static_assert(__builtin_offsetof(struct half_open_set6, ways) == 0, "half_open_set6.ways");

struct listener {
	__u8 address[16];
	__u16 port;
	__u8 proto;
	__u8 kind;
} __attribute__((aligned(4)));
_Static_assert(sizeof(struct listener) == 20, "listener");
_Static_assert(__builtin_offsetof(struct listener, address) == 0, "listener.address");
_Static_assert(__builtin_offsetof(struct listener, port) == 16, "listener.port");
_Static_assert(__builtin_offsetof(struct listener, proto) == 18, "listener.proto");
_Static_assert(__builtin_offsetof(struct listener, kind) == 19, "listener.kind");

struct shortcut {
	__u64 name;
	__u32 service;
	__u32 pad;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct shortcut) == 16, "shortcut");
_Static_assert(__builtin_offsetof(struct shortcut, name) == 0, "shortcut.name");
_Static_assert(__builtin_offsetof(struct shortcut, service) == 8, "shortcut.service");
_Static_assert(__builtin_offsetof(struct shortcut, pad) == 12, "shortcut.pad");

struct service {
	__u32 flags;
	__u16 group;
	__u16 pad;
	__u32 timeout;
	__u8 mask4[4];
	__u8 mask6[16];
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct service) == 32, "service");
_Static_assert(__builtin_offsetof(struct service, flags) == 0, "service.flags");
_Static_assert(__builtin_offsetof(struct service, group) == 4, "service.group");
_Static_assert(__builtin_offsetof(struct service, pad) == 6, "service.pad");
_Static_assert(__builtin_offsetof(struct service, timeout) == 8, "service.timeout");
_Static_assert(__builtin_offsetof(struct service, mask4) == 12, "service.mask4");
_Static_assert(__builtin_offsetof(struct service, mask6) == 16, "service.mask6");

struct backend {
	__u8 address[16];
	__u8 source[16];
	__u32 ifindex;
	__u16 generation;
	__u16 mtu;
	__u8 mac[6];
	__u8 source_mac[6];
	__u8 method;
	__u8 family;
	__u8 flags;
	__u8 pad[3];
	__u8 tunnel;
	__u8 overhead;
	__u8 source_bits;
	__u8 checksum;
	__u16 port;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct backend) == 64, "backend");
_Static_assert(__builtin_offsetof(struct backend, address) == 0, "backend.address");
_Static_assert(__builtin_offsetof(struct backend, source) == 16, "backend.source");
_Static_assert(__builtin_offsetof(struct backend, ifindex) == 32, "backend.ifindex");
_Static_assert(__builtin_offsetof(struct backend, generation) == 36, "backend.generation");
_Static_assert(__builtin_offsetof(struct backend, mtu) == 38, "backend.mtu");
_Static_assert(__builtin_offsetof(struct backend, mac) == 40, "backend.mac");
_Static_assert(__builtin_offsetof(struct backend, source_mac) == 46, "backend.source_mac");
_Static_assert(__builtin_offsetof(struct backend, method) == 52, "backend.method");
_Static_assert(__builtin_offsetof(struct backend, family) == 53, "backend.family");
_Static_assert(__builtin_offsetof(struct backend, flags) == 54, "backend.flags");
_Static_assert(__builtin_offsetof(struct backend, pad) == 55, "backend.pad");
_Static_assert(__builtin_offsetof(struct backend, tunnel) == 58, "backend.tunnel");
_Static_assert(__builtin_offsetof(struct backend, overhead) == 59, "backend.overhead");
_Static_assert(__builtin_offsetof(struct backend, source_bits) == 60, "backend.source_bits");
_Static_assert(__builtin_offsetof(struct backend, checksum) == 61, "backend.checksum");
_Static_assert(__builtin_offsetof(struct backend, port) == 62, "backend.port");

struct fragment_key {
	__u8 addresses[32];
	__u32 id;
	__u8 proto;
	__u8 family;
	__u8 pad[2];
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct fragment_key) == 40, "fragment_key");
_Static_assert(__builtin_offsetof(struct fragment_key, addresses) == 0, "fragment_key.addresses");
_Static_assert(__builtin_offsetof(struct fragment_key, id) == 32, "fragment_key.id");
_Static_assert(__builtin_offsetof(struct fragment_key, proto) == 36, "fragment_key.proto");
_Static_assert(__builtin_offsetof(struct fragment_key, family) == 37, "fragment_key.family");
_Static_assert(__builtin_offsetof(struct fragment_key, pad) == 38, "fragment_key.pad");

struct fragment_way {
	__u16 backend;
	__u16 generation;
} __attribute__((aligned(4)));
_Static_assert(sizeof(struct fragment_way) == 4, "fragment_way");
_Static_assert(__builtin_offsetof(struct fragment_way, backend) == 0, "fragment_way.backend");
_Static_assert(__builtin_offsetof(struct fragment_way, generation) == 2, "fragment_way.generation");

struct settings {
	__u64 filter[128];
	__u32 marks;
	__u32 insert_limit;
	__u32 icmp_limit;
	__u32 report_every;
	__u32 half_open_sets;
	__u32 pad;
	__u64 half_open_seed;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct settings) == 1056, "settings");
_Static_assert(__builtin_offsetof(struct settings, filter) == 0, "settings.filter");
_Static_assert(__builtin_offsetof(struct settings, marks) == 1024, "settings.marks");
_Static_assert(__builtin_offsetof(struct settings, insert_limit) == 1028, "settings.insert_limit");
_Static_assert(__builtin_offsetof(struct settings, icmp_limit) == 1032, "settings.icmp_limit");
_Static_assert(__builtin_offsetof(struct settings, report_every) == 1036, "settings.report_every");
_Static_assert(__builtin_offsetof(struct settings, half_open_sets) == 1040, "settings.half_open_sets");
_Static_assert(__builtin_offsetof(struct settings, pad) == 1044, "settings.pad");
_Static_assert(__builtin_offsetof(struct settings, half_open_seed) == 1048, "settings.half_open_seed");

struct gate {
	__u32 window;
	__u32 inserts;
	__u32 icmps;
	__u32 pad;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct gate) == 16, "gate");
_Static_assert(__builtin_offsetof(struct gate, window) == 0, "gate.window");
_Static_assert(__builtin_offsetof(struct gate, inserts) == 4, "gate.inserts");
_Static_assert(__builtin_offsetof(struct gate, icmps) == 8, "gate.icmps");
_Static_assert(__builtin_offsetof(struct gate, pad) == 12, "gate.pad");

struct backend_stats {
	__u64 packets;
	__u64 bytes;
	__u64 connections;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct backend_stats) == 24, "backend_stats");
_Static_assert(__builtin_offsetof(struct backend_stats, packets) == 0, "backend_stats.packets");
_Static_assert(__builtin_offsetof(struct backend_stats, bytes) == 8, "backend_stats.bytes");
_Static_assert(__builtin_offsetof(struct backend_stats, connections) == 16, "backend_stats.connections");

struct service_stats {
	__u64 refused;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct service_stats) == 8, "service_stats");
_Static_assert(__builtin_offsetof(struct service_stats, refused) == 0, "service_stats.refused");

struct persistent_key {
	__u8 address[16];
	__u16 group;
	__u8 family;
	__u8 pad;
} __attribute__((aligned(4)));
_Static_assert(sizeof(struct persistent_key) == 20, "persistent_key");
_Static_assert(__builtin_offsetof(struct persistent_key, address) == 0, "persistent_key.address");
_Static_assert(__builtin_offsetof(struct persistent_key, group) == 16, "persistent_key.group");
_Static_assert(__builtin_offsetof(struct persistent_key, family) == 18, "persistent_key.family");
_Static_assert(__builtin_offsetof(struct persistent_key, pad) == 19, "persistent_key.pad");

struct persistent {
	__u16 backend;
	__u16 generation;
	__u32 seen;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct persistent) == 8, "persistent");
_Static_assert(__builtin_offsetof(struct persistent, backend) == 0, "persistent.backend");
_Static_assert(__builtin_offsetof(struct persistent, generation) == 2, "persistent.generation");
_Static_assert(__builtin_offsetof(struct persistent, seen) == 4, "persistent.seen");

struct pin_key {
	__u32 prefix;
	__u16 service;
	__u16 family;
	__u8 address[16];
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct pin_key) == 24, "pin_key");
_Static_assert(__builtin_offsetof(struct pin_key, prefix) == 0, "pin_key.prefix");
_Static_assert(__builtin_offsetof(struct pin_key, service) == 4, "pin_key.service");
_Static_assert(__builtin_offsetof(struct pin_key, family) == 6, "pin_key.family");
_Static_assert(__builtin_offsetof(struct pin_key, address) == 8, "pin_key.address");

struct pinned {
	__u16 backend;
	__u16 generation;
} __attribute__((aligned(4)));
_Static_assert(sizeof(struct pinned) == 4, "pinned");
_Static_assert(__builtin_offsetof(struct pinned, backend) == 0, "pinned.backend");
_Static_assert(__builtin_offsetof(struct pinned, generation) == 2, "pinned.generation");

struct kin_key {
	__u16 service;
	__u16 backend;
} __attribute__((aligned(4)));
_Static_assert(sizeof(struct kin_key) == 4, "kin_key");
_Static_assert(__builtin_offsetof(struct kin_key, service) == 0, "kin_key.service");
_Static_assert(__builtin_offsetof(struct kin_key, backend) == 2, "kin_key.backend");

struct asked {
	struct flow_key key;
	__u32 service;
	__u32 hash;
	__u32 mark;
	__u32 ifindex;
	__u32 tick;
	__u32 length;
	__u32 l4;
	__u32 end;
	__u32 vlan_proto;
	__u32 vlan_tci;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct asked) == 80, "asked");
_Static_assert(__builtin_offsetof(struct asked, key) == 0, "asked.key");
_Static_assert(__builtin_offsetof(struct asked, service) == 40, "asked.service");
_Static_assert(__builtin_offsetof(struct asked, hash) == 44, "asked.hash");
_Static_assert(__builtin_offsetof(struct asked, mark) == 48, "asked.mark");
_Static_assert(__builtin_offsetof(struct asked, ifindex) == 52, "asked.ifindex");
_Static_assert(__builtin_offsetof(struct asked, tick) == 56, "asked.tick");
_Static_assert(__builtin_offsetof(struct asked, length) == 60, "asked.length");
_Static_assert(__builtin_offsetof(struct asked, l4) == 64, "asked.l4");
_Static_assert(__builtin_offsetof(struct asked, end) == 68, "asked.end");
_Static_assert(__builtin_offsetof(struct asked, vlan_proto) == 72, "asked.vlan_proto");
_Static_assert(__builtin_offsetof(struct asked, vlan_tci) == 76, "asked.vlan_tci");

struct answer {
	__u16 backend;
	__u16 generation;
	__u32 given;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct answer) == 8, "answer");
_Static_assert(__builtin_offsetof(struct answer, backend) == 0, "answer.backend");
_Static_assert(__builtin_offsetof(struct answer, generation) == 2, "answer.generation");
_Static_assert(__builtin_offsetof(struct answer, given) == 4, "answer.given");

struct asking {
	__u32 heartbeat;
	__u32 patience;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct asking) == 8, "asking");
_Static_assert(__builtin_offsetof(struct asking, heartbeat) == 0, "asking.heartbeat");
_Static_assert(__builtin_offsetof(struct asking, patience) == 4, "asking.patience");

struct report {
	struct flow_key key;
	__u32 tick;
	__u32 ifindex;
	__u32 mark;
	__u32 length;
	__u16 what;
	__u16 service;
	__u16 backend;
	__u16 pad;
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct report) == 64, "report");
_Static_assert(__builtin_offsetof(struct report, key) == 0, "report.key");
_Static_assert(__builtin_offsetof(struct report, tick) == 40, "report.tick");
_Static_assert(__builtin_offsetof(struct report, ifindex) == 44, "report.ifindex");
_Static_assert(__builtin_offsetof(struct report, mark) == 48, "report.mark");
_Static_assert(__builtin_offsetof(struct report, length) == 52, "report.length");
_Static_assert(__builtin_offsetof(struct report, what) == 56, "report.what");
_Static_assert(__builtin_offsetof(struct report, service) == 58, "report.service");
_Static_assert(__builtin_offsetof(struct report, backend) == 60, "report.backend");
_Static_assert(__builtin_offsetof(struct report, pad) == 62, "report.pad");
