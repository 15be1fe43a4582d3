//! {{name}}: a scheduler in Zig that decides for each connection. Whoever has the fewest for its weight gets it.

const std = @import("std");
const wvs = @import("wvs.zig");

pub const about: wvs.Description = .{
    .name = .of("{{name}}"),
    .version = .of("0.1.0"),
    .summary = .of("whoever has the fewest connections for its weight gets the next"),
};

const Server = struct {
    id: u32,
    weight: f64,
    /// In the list of the last update.
    place: u32,
    connections: f64 = 0,

    /// How busy one more connection makes it.
    fn cost(server: Server) f64 {
        return (server.connections + 1) / server.weight;
    }

    fn before(server: Server, other: Server) bool {
        return server.cost() < other.cost() or (server.cost() == other.cost() and server.place < other.place);
    }
};

/// Who takes new connections: a heap, whose first entry gets the next.
var usable: std.ArrayList(Server) = .empty;

pub fn configure(params: []const wvs.Param) wvs.Error!wvs.Dispatch {
    _ = params;
    return .per_flow;
}

/// The connections are told right afterwards.
pub fn update(backends: []const wvs.Backend) wvs.Error!void {
    usable.clearRetainingCapacity();
    for (backends, 0..) |backend, place| {
        if (!backend.usable()) continue;
        try usable.append(wvs.allocator, .{
            .id = backend.id,
            .weight = @floatFromInt(backend.weight),
            .place = @intCast(place),
        });
    }
    order();
}

/// The connections of each backend, in the order of the last update, from time to time.
pub fn observe(active: []const u32, inactive: []const u32) void {
    _ = inactive;
    for (usable.items) |*server| server.connections = @floatFromInt(active[server.place]);
    order();
}

/// A connection waits for this: the less there is to do, the better. `null` refuses it.
pub fn pick(flow: wvs.Flow) ?u32 {
    _ = flow;
    const heap = usable.items;
    if (heap.len == 0) return null;
    const id = heap[0].id;
    // It is not in the counts yet.
    heap[0].connections += 1;
    sink(heap, 0);
    return id;
}

fn order() void {
    var at = usable.items.len / 2;
    while (at > 0) {
        at -= 1;
        sink(usable.items, at);
    }
}

/// Puts the entry at `start` where it belongs.
fn sink(heap: []Server, start: usize) void {
    const entry = heap[start];
    var at = start;
    while (2 * at + 1 < heap.len) {
        var child = 2 * at + 1;
        if (child + 1 < heap.len and heap[child + 1].before(heap[child])) child += 1;
        if (!heap[child].before(entry)) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = entry;
}

comptime {
    wvs.scheduler(@This());
}

pub const panic = wvs.panic;

test "the heavier one gets more" {
    try update(&.{ .sample(1, 2), .sample(2, 1), .sample(3, 0) });
    for ([_]u32{ 1, 1, 2, 1, 1, 2 }) |id| try std.testing.expectEqual(id, pick(.sample()));
}

test "who has many connections gets none" {
    try update(&.{ .sample(1, 2), .sample(2, 1) });
    observe(&.{ 5, 0 }, &.{ 0, 0 });
    for ([_]u32{ 2, 2, 1 }) |id| try std.testing.expectEqual(id, pick(.sample()));
}

test "nobody is named who takes no connections" {
    try update(&.{ .sample(1, 0), .{ .id = 2, .weight = 1, .state = .{ .draining = true } } });
    try std.testing.expectEqual(null, pick(.sample()));
}
