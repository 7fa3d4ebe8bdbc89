// linear_gemv_barrier.wgsl - linear_gemv with sums over the lanes through workgroup memory, in two steps.

const SLICES: u32 = WG_X / QUADS;

var<workgroup> partial: array<vec4<f32>, WG_X>;
var<workgroup> partial_squares: array<f32, WG_X>;
var<workgroup> sums: array<f32, WG_X * TILES>;
var<workgroup> some_squares: array<f32, 16>;

// Tile t: the lane adds slices of one row.
fn gather(t: u32, lane: u32) {
    partial[lane] = acc[t];
    workgroupBarrier();
    let row = lane % (QUADS * 4u);
    let part = lane / (QUADS * 4u);
    var sum = 0.0;
    for (var i = 0u; i < 4u; i++) {
        sum += partial[(part * 4u + i) * QUADS + row / 4u][row % 4u];
    }
    sums[t * WG_X + lane] = sum;
    if (NORM == 1u && t == 0u && lane < 16u) {
        sum = 0.0;
        for (var i = lane; i < WG_X; i += 16u) {
            sum += partial_squares[i];
        }
        some_squares[lane] = sum;
    }
    workgroupBarrier();
}

fn sum_of(r: u32) -> f32 {
    var sum = 0.0;
    for (var i = 0u; i < SLICES / 4u; i++) {
        sum += sums[r / (QUADS * 4u) * WG_X + i * QUADS * 4u + r % (QUADS * 4u)];
    }
    return sum;
}

@compute @workgroup_size(WG_X)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let tile = wid.z * nwg.x + wid.x;
    if (tile * TILE_N >= N) {
        return;
    }
    let added = read_addend(tile, wid.y, lane);
    accumulate(tile, wid.y, lane);
    partial_squares[lane] = squares;
    for (var t = 0u; t < TILES; t++) {
        gather(t, lane);
    }
    if (lane >= OUTPUTS) {
        return;
    }
    var all_squares = 0.0;
    if (NORM == 1u) {
        for (var i = 0u; i < 16u; i++) {
            all_squares += some_squares[i];
        }
    }
    var up = 0.0;
    if (GATED == 1u) {
        up = sum_of(OUTPUTS + lane);
    }
    store(tile, wid.y, lane, sum_of(lane), up, all_squares, added);
}
