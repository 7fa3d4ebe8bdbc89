// matmul_gemv.wgsl - few rows: an invocation takes four outputs of each of TILE_M rows and every SLICES-th quad along K;
// the slices are added up through workgroup memory. Neighbouring invocations read neighbouring words of b.

const QUADS: u32 = TILE_N / 4u;
const SLICES: u32 = WG_X / QUADS;

var<workgroup> partial: array<vec4<f32>, WG_X * TILE_M>; // [row][slice][quad]

@compute @workgroup_size(WG_X)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lid: u32) {
    let group = wid.y * nwg.x + wid.x;
    if (group >= p.groups) {
        return;
    }
    let t = tile_of(group);
    var quad = lid % QUADS;
    var slice = lid / QUADS;
    if (TRANSPOSE_B == 1u) {
        quad = lid / SLICES;
        slice = lid % SLICES;
    }
    var sums: array<vec4<f32>, TILE_M>;
    for (var i = 0u; i < TILE_M; i++) {
        sums[i] = vec4<f32>();
    }
    for (var k = 4u * slice; k < p.k; k += 4u * SLICES) {
        let block = b_block(t, t.n + 4u * quad, k);
        for (var i = 0u; i < TILE_M; i++) {
            sums[i] += block * a_quad(t, t.m + i, k);
        }
    }
    for (var i = 0u; i < TILE_M; i++) {
        partial[(i * SLICES + slice) * QUADS + quad] = sums[i];
    }
    workgroupBarrier();
    if (lid >= TILE_M * QUADS) {
        return;
    }
    let row = lid / QUADS;
    let column = lid % QUADS;
    var sum = vec4<f32>();
    for (var i = 0u; i < SLICES; i++) {
        sum += partial[(row * SLICES + i) * QUADS + column];
    }
    store(t, t.m + row, t.n + 4u * column, sum);
}
