// strided.wgsl - y[y_first + idx . y strides] = x[x_first + idx . x strides], one item an invocation. Strides wrap
// modulo 2^32: that makes negative ones. Row: ITEM (with word1 or word4).
struct Dim {
    size: u32,
    x: u32, // strides, in items
    y: u32,
    unused: u32,
}

struct Params {
    n: u32,    // items
    rank: u32, // 1..15
    x_first: u32,
    y_first: u32,
    dims: array<Dim, 15>, // the innermost first
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Item>;
@group(0) @binding(2) var<storage, read_write> y: array<Item>;

@compute @workgroup_size(WG_X)
fn copy(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * grid.x + group.x) * WG_X + lane;
    if (i >= p.n) {
        return;
    }
    let outermost = p.rank - 1u;
    var rest = i;
    var xi = p.x_first;
    var yi = p.y_first;
    for (var d = 0u; d < outermost; d++) {
        let size = p.dims[d].size;
        let outer = rest / size;
        let k = rest - outer * size;
        xi += k * p.dims[d].x;
        yi += k * p.dims[d].y;
        rest = outer;
    }
    xi += rest * p.dims[outermost].x;
    yi += rest * p.dims[outermost].y;
    y[yi] = x[xi];
}
