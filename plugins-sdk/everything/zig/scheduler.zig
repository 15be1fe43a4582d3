//! For tests of wvs.zig: parameters of each kind, connections, latencies, a timer, refusals, the host.
//!
//! All slots are one backend's: the fastest, of equals that with the fewest connections, of equals the first.

const std = @import("std");
const wvs = @import("wvs.zig");

const words = [_]wvs.Text{ .of("first"), .of("idlest") };
const params = [_]wvs.ParamSpec{
    .{
        .key = .of("who"),
        .kind = .choice,
        .of = .{ .words = .of(&words) },
        .default = .of("idlest"),
        .help = .of("who it is"),
    },
    .{
        .key = .of("size"),
        .kind = .integer,
        .of = .{ .range = .{ .min = -3, .max = 7 } },
        .default = .of("0"),
        .help = .of("tenths of a second until the next table"),
    },
    .{ .key = .of("hashed"), .kind = .boolean, .default = .of("false"), .help = .of("by the port too") },
    .{ .key = .of("note"), .default = .of(""), .help = .of("refused if it is bad") },
};

pub const about: wvs.Description = .{
    .name = .of("everything"),
    .version = .of("1.2.3"),
    .summary = .of("for tests of the glue"),
    .params = .of(&params),
};

const Known = struct { backend: wvs.Backend, active: u32 = 0, micros: u32 = wvs.unknown_latency };

var known: std.ArrayList(Known) = .empty;
var first = false;
var pause: u32 = 0;

pub fn configure(given: []const wvs.Param) wvs.Error!wvs.Dispatch {
    var hashed = false;
    for (given) |param| {
        const key = param.key.slice();
        const value = param.value.slice();
        if (std.mem.eql(u8, key, "note") and std.mem.eql(u8, value, "bad")) return wvs.refuse("note must not be bad");
        if (std.mem.eql(u8, key, "who")) first = std.mem.eql(u8, value, "first");
        if (std.mem.eql(u8, key, "hashed")) hashed = std.mem.eql(u8, value, "true");
        if (std.mem.eql(u8, key, "size")) {
            const tenths = std.fmt.parseInt(i32, value, 10) catch return wvs.refuse("size must be a number");
            pause = if (tenths > 0) @intCast(100 * tenths) else 0;
        }
    }
    if (wvs.now() < 0 or wvs.random() == wvs.random()) wvs.log(.warn, "how odd");
    return if (hashed) .{ .hash = .source_and_port } else .cycle;
}

pub fn update(backends: []const wvs.Backend) wvs.Error!void {
    known.clearRetainingCapacity();
    for (backends) |backend| try known.append(wvs.allocator, .{ .backend = backend });
}

pub fn observe(active: []const u32, inactive: []const u32) void {
    for (known.items, active, inactive) |*it, count, _| it.active = count;
}

pub fn due() u32 {
    return pause;
}

pub fn interval() u32 {
    return 250;
}

pub fn observeLatency(micros: []const u32) void {
    for (known.items, micros) |*it, measured| it.micros = measured;
}

pub fn fill(table: []u32) wvs.Error!void {
    var best: ?Known = null;
    for (known.items) |it| {
        if (!it.backend.usable() or (first and best != null)) continue;
        if (best == null or better(it, best.?)) best = it;
    }
    @memset(table, if (best) |it| it.backend.id else wvs.no_backend);
}

fn better(one: Known, other: Known) bool {
    return one.micros < other.micros or (one.micros == other.micros and one.active < other.active);
}

comptime {
    wvs.scheduler(@This());
}

pub const panic = wvs.panic;
