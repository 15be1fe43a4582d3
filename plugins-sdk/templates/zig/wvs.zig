//! Write schedulers for wvs in Zig: the contract's types, and what is between them and the director.
//!
//! What a function is given is there until it returns. A call is stopped after 250 ms (a pick after 2), and a plugin at
//! 64 MiB of memory.

const std = @import("std");
const builtin = @import("builtin");

/// In a table: no backend takes this connection.
pub const no_backend: u32 = 0xffff_ffff;
/// Among latencies: not known.
pub const unknown_latency: u32 = 0xffff_ffff;

/// For what a scheduler keeps.
pub const allocator = if (builtin.cpu.arch.isWasm()) std.heap.wasm_allocator else std.heap.page_allocator;

/// `return wvs.refuse("a sentence for the operator")` answers an error.
pub const Error = error{ Refused, OutOfMemory };

pub fn refuse(sentence: []const u8) Error {
    reason = .of(sentence);
    return error.Refused;
}

/// Of the contract's lists and texts.
pub fn List(T: type) type {
    return extern struct {
        at: [*]const T = empty,
        count: u32 = 0,

        const empty: [*]const T = @ptrFromInt(@alignOf(T));

        pub fn of(items: []const T) @This() {
            return if (items.len == 0) .{} else .{ .at = items.ptr, .count = @intCast(items.len) };
        }

        pub fn slice(list: @This()) []const T {
            return list.at[0..list.count];
        }
    };
}

pub const Text = List(u8);

pub const Param = extern struct {
    key: Text,
    value: Text,
};

/// The declaration of a parameter.
pub const ParamSpec = extern struct {
    key: Text,
    kind: enum(u8) { text, boolean, integer, choice } = .text,
    of: extern union {
        range: extern struct { min: i32, max: i32 },
        words: List(Text),
    } = .{ .words = .{} },
    default: Text,
    help: Text,
};

pub const Description = extern struct {
    name: Text,
    version: Text,
    summary: Text,
    params: List(ParamSpec) = .{},
};

pub const Backend = extern struct {
    id: u32,
    /// 0 means: no new connections.
    weight: u32,
    /// IPv4 is IPv4-mapped, so address[3] alone is the IPv4 address.
    address: [4]u32 = .{ 0, 0, 0xffff, 0x0a010001 },
    port: u16 = 8080,
    state: packed struct(u8) { draining: bool = false, down: bool = false, overloaded: bool = false, _: u5 = 0 } = .{},

    /// Whether new connections may go to it.
    pub fn usable(backend: Backend) bool {
        return backend.weight > 0 and @as(u8, @bitCast(backend.state)) == 0;
    }

    /// For tests.
    pub fn sample(id: u32, weight: u32) Backend {
        return .{ .id = id, .weight = weight };
    }
};

/// A connection that opens.
pub const Flow = struct {
    source: [4]u32,
    destination: [4]u32,
    source_port: u16,
    destination_port: u16,
    /// 6 TCP, 17 UDP, 132 SCTP.
    protocol: u8,
    /// The packet's firewall mark.
    mark: u32,
    /// The same on every director.
    hash: u32,

    /// For tests.
    pub fn sample() Flow {
        const client = .{ 0, 0, 0xffff, 0x0a090001 };
        const service = .{ 0, 0, 0xffff, 0x0a000064 };
        return .{
            .source = client,
            .destination = service,
            .source_port = 40000,
            .destination_port = 80,
            .protocol = 6,
            .mark = 0,
            .hash = 0,
        };
    }
};

/// How the data path uses the scheduler: walks its table, indexes it by a hash, or asks for each connection.
pub const Dispatch = union(enum) {
    cycle,
    hash: enum(u8) { source, source_and_port, destination, both },
    per_flow,
};

pub const Level = enum(u32) { err, warn, info, debug };

const host = struct {
    extern "wvs" fn log(level: u32, at: [*]const u8, length: u32) void;
    extern "wvs" fn random() u32;
    extern "wvs" fn now() f64;
};

pub fn log(level: Level, message: []const u8) void {
    host.log(@intFromEnum(level), message.ptr, @intCast(message.len));
}

/// Random numbers repeat with the director's seed.
pub const random = host.random;
/// Seconds since the plugin was loaded.
pub const now = host.now;

/// A panic's message goes to the log.
pub const panic = std.debug.FullPanic(struct {
    fn panic(message: []const u8, _: ?usize) noreturn {
        if (builtin.cpu.arch.isWasm()) log(.err, message);
        @trap();
    }
}.panic);

/// Exports what a scheduler has:
///
///     pub const about: Description
///     pub fn configure(params: []const Param) Error!Dispatch
///     pub fn update(backends: []const Backend) Error!void
///
/// one of these, or both if `configure` chooses between them:
///
///     pub fn fill(table: []u32) Error!void   // for .cycle and .hash
///     pub fn pick(flow: Flow) ?u32           // for .per_flow
///
/// and of these whatever is wanted; lists are in the order of the last update:
///
///     pub fn observe(active: []const u32, inactive: []const u32) void   // the connections of the backends
///     pub fn due() u32                 // after a fill: in so many ms another one is wanted; 0 if none is
///     pub fn interval() u32            // backends are measured every so many ms, 100 at least
///     pub fn observeLatency(micros: []const u32) void   // what that has found, or unknown_latency
pub fn scheduler(comptime S: type) void {
    if (!builtin.cpu.arch.isWasm()) return;
    const functions = Functions(S);
    @export(&cabiRealloc, .{ .name = "cabi_realloc" });
    @export(&functions.describe, .{ .name = "describe" });
    @export(&functions.configure, .{ .name = "configure" });
    @export(&functions.update, .{ .name = "update" });
    if (@hasDecl(S, "fill")) @export(&functions.fill, .{ .name = "fill" });
    if (@hasDecl(S, "pick")) @export(&functions.pick, .{ .name = "pick" });
    if (@hasDecl(S, "observe")) @export(&functions.observe, .{ .name = "observe" });
    if (@hasDecl(S, "due")) @export(&functions.due, .{ .name = "due" });
    if (@hasDecl(S, "interval")) @export(&functions.interval, .{ .name = "interval" });
    if (@hasDecl(S, "observeLatency")) @export(&functions.observeLatency, .{ .name = "observe-latency" });
}

var reason: Text = .{};
/// Arguments and tables. A table is read after its call has ended, so what is done with goes when the next call begins.
var arena: std.heap.ArenaAllocator = .init(allocator);
var ended = false;

fn ofThisCall() std.mem.Allocator {
    if (ended) _ = arena.reset(.retain_capacity);
    ended = false;
    return arena.allocator();
}

fn end() void {
    ended = true;
}

fn cabiRealloc(_: usize, _: usize, alignment: usize, size: usize) callconv(.c) usize {
    // Nothing, too, is at an address.
    if (size == 0) return alignment;
    return @intFromPtr((ofThisCall().alignedAlloc(u8, .@"8", size) catch @panic("out of memory")).ptr);
}

/// result<list<u32>, string>, of which result<_, string> is a part.
var answer: extern struct { failed: bool, list: extern union { table: List(u32), sentence: Text } } = undefined;
/// result<dispatch, string>
var configured: extern struct {
    failed: bool,
    of: extern union { dispatch: extern struct { kind: u8, key: u8 }, sentence: Text },
} = undefined;
/// option<u32>
var picked: extern struct { some: bool, id: u32 } = undefined;

fn sentenceOf(err: Error) Text {
    return switch (err) {
        error.Refused => reason,
        error.OutOfMemory => .of("out of memory"),
    };
}

fn Functions(comptime S: type) type {
    return struct {
        fn describe() callconv(.c) *const Description {
            return &S.about;
        }

        fn configure(params: [*]const Param, count: usize) callconv(.c) *const anyopaque {
            defer end();
            if (S.configure(params[0..count])) |dispatch| {
                const key = switch (dispatch) {
                    .hash => |key| @intFromEnum(key),
                    else => 0,
                };
                configured = .{ .failed = false, .of = .{ .dispatch = .{ .kind = @intFromEnum(dispatch), .key = key } } };
            } else |err| {
                configured = .{ .failed = true, .of = .{ .sentence = sentenceOf(err) } };
            }
            return &configured;
        }

        fn update(backends: [*]const Backend, count: usize) callconv(.c) *const anyopaque {
            defer end();
            answer.failed = false;
            S.update(backends[0..count]) catch |err| {
                answer = .{ .failed = true, .list = .{ .sentence = sentenceOf(err) } };
            };
            return &answer;
        }

        fn fill(slots: u32) callconv(.c) *const anyopaque {
            defer end();
            const table = ofThisCall().alloc(u32, slots) catch @panic("out of memory");
            if (S.fill(table)) {
                answer = .{ .failed = false, .list = .{ .table = .of(table) } };
            } else |err| {
                answer = .{ .failed = true, .list = .{ .sentence = sentenceOf(err) } };
            }
            return &answer;
        }

        // zig fmt: off
        fn pick(
            sa: u32, sb: u32, sc: u32, sd: u32, da: u32, db: u32, dc: u32, dd: u32,
            source_port: u32, destination_port: u32, protocol: u32, mark: u32, hash: u32,
        ) callconv(.c) *const anyopaque {
            // zig fmt: on
            const id = S.pick(.{
                .source = .{ sa, sb, sc, sd },
                .destination = .{ da, db, dc, dd },
                .source_port = @intCast(source_port),
                .destination_port = @intCast(destination_port),
                .protocol = @intCast(protocol),
                .mark = mark,
                .hash = hash,
            });
            picked = .{ .some = id != null, .id = id orelse 0 };
            return &picked;
        }

        fn observe(active: [*]const u32, count: usize, inactive: [*]const u32, same_count: usize) callconv(.c) void {
            defer end();
            S.observe(active[0..count], inactive[0..same_count]);
        }

        fn due() callconv(.c) u32 {
            return S.due();
        }

        fn interval() callconv(.c) u32 {
            return S.interval();
        }

        fn observeLatency(micros: [*]const u32, count: usize) callconv(.c) void {
            defer end();
            S.observeLatency(micros[0..count]);
        }
    };
}
