// index.wgsl - y[...] = x[..., id, ...], one item an invocation, id an element of ids: index_select and gather differ in
// strides only. Negative ids count from the end; ids outside are clamped. Row: Item (with word1 or word4).
struct Dimension {
    size: u32,
    x: u32,   // stride in items of x; 0 along the axis that the ids stand for
    ids: u32, // stride in ids; 0 where one id serves all
    unused: u32,
}

struct Params {
    n: u32,           // items of y
    rank: u32,
    axis: u32,        // size of x along the axis of the ids
    axis_stride: u32, // in items of x
    dims: array<Dimension, 8>,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Item>;
@group(0) @binding(2) var<storage, read> ids: array<i32>;
@group(0) @binding(3) var<storage, read_write> y: array<Item>;

@compute @workgroup_size(WG_X)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * grid.x + group.x) * WG_X + lane;
    if (i >= p.n) {
        return;
    }
    var rest = i;
    var from_x = 0u;
    var from_ids = 0u;
    for (var d = p.rank; d > 1u; d--) {
        let size = p.dims[d - 1u].size;
        let c = rest % size;
        rest /= size;
        from_x += c * p.dims[d - 1u].x;
        from_ids += c * p.dims[d - 1u].ids;
    }
    from_x += rest * p.dims[0].x;
    from_ids += rest * p.dims[0].ids;
    let given = ids[from_ids];
    let size = i32(p.axis);
    let id = u32(clamp(select(given, given + size, given < 0), 0, size - 1));
    y[i] = x[from_x + id * p.axis_stride];
}
