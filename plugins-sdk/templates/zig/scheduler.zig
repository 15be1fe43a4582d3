//! {{name}}: a scheduler in Zig. Everybody takes turns, as often as the weight says.

const std = @import("std");
const wvs = @import("wvs.zig");

pub const about: wvs.Description = .{
    .name = .of("{{name}}"),
    .version = .of("0.1.0"),
    .summary = .of("everybody takes turns, as often as the weight says"),
};

const Turn = struct {
    id: u32,
    weight: f64,
    place: u32,
    turns: f64 = 0,

    /// Its n-th turn is due at (n + ½) / weight: who weighs twice as much is due twice as often.
    fn due(turn: Turn) f64 {
        return (turn.turns + 0.5) / turn.weight;
    }

    fn before(turn: Turn, other: Turn) bool {
        return turn.due() < other.due() or (turn.due() == other.due() and turn.place < other.place);
    }
};

/// Who takes new connections.
var usable: std.ArrayList(Turn) = .empty;

pub fn configure(params: []const wvs.Param) wvs.Error!wvs.Dispatch {
    _ = params;
    return .cycle;
}

pub fn update(backends: []const wvs.Backend) wvs.Error!void {
    usable.clearRetainingCapacity();
    for (backends) |backend| {
        if (!backend.usable()) continue;
        const place: u32 = @intCast(usable.items.len);
        try usable.append(wvs.allocator, .{ .id = backend.id, .weight = @floatFromInt(backend.weight), .place = place });
    }
}

pub fn fill(table: []u32) wvs.Error!void {
    @memset(table, wvs.no_backend);
    const heap = usable.items;
    if (heap.len == 0) return;
    for (heap) |*turn| turn.turns = 0;
    var at = heap.len / 2;
    while (at > 0) {
        at -= 1;
        sink(heap, at);
    }
    for (table) |*slot| {
        slot.* = heap[0].id;
        heap[0].turns += 1;
        sink(heap, 0);
    }
}

/// Puts the entry at `start` where it belongs in a heap, whose first entry is due first.
fn sink(heap: []Turn, start: usize) void {
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
    var table: [6]u32 = undefined;
    try fill(&table);
    try std.testing.expectEqualSlices(u32, &.{ 1, 2, 1, 1, 2, 1 }, &table);
}

test "nobody is named who takes no connections" {
    try update(&.{ .sample(1, 0), .{ .id = 2, .weight = 1, .state = .{ .draining = true } } });
    var table: [2]u32 = undefined;
    try fill(&table);
    try std.testing.expectEqualSlices(u32, &.{ wvs.no_backend, wvs.no_backend }, &table);
}
