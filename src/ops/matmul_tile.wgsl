// matmul_tile.wgsl - many rows: square tiles through workgroup memory, K in steps of TILE_K. An invocation computes
// MICRO x MICRO quads (4 x 4 outputs each), and loads one 4 x 4 block of a and one of b a step: what the next step needs
// is loaded into registers while this step is computed. FOLD: after so many steps the sums are put aside, which keeps
// the rounding of long rows small; 0: never.

const QUADS: u32 = TILE_N / 4u;    // of a tile, along M and along N
const K_QUADS: u32 = TILE_K / 4u;  // QUADS * K_QUADS is WG_X
const SIDE: u32 = QUADS / MICRO;   // SIDE * SIDE is WG_X
const SUMS: u32 = MICRO * MICRO * 4u;

var<workgroup> a_tile: array<vec4<f32>, TILE_K * QUADS>; // [k][quad of m]
var<workgroup> b_tile: array<vec4<f32>, TILE_K * QUADS>;  // [k][quad of n]

@compute @workgroup_size(WG_X)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lid: u32) {
    let group = wid.y * nwg.x + wid.x;
    if (group >= p.groups) {
        return;
    }
    let t = tile_of(group);
    // Neighbouring invocations load neighbouring words.
    let a_at = vec2<u32>(lid / K_QUADS, lid % K_QUADS); // quad of the tile, quad of k
    var b_at = vec2<u32>(lid % QUADS, lid / QUADS);
    if (TRANSPOSE_B == 1u) {
        b_at = a_at;
    }
    let tx = lid % SIDE;
    let ty = lid / SIDE;
    var next_a = mat4x4<f32>();
    var next_b = mat4x4<f32>();
    var sums: array<vec4<f32>, SUMS>;
    var total: array<vec4<f32>, SUMS>;
    for (var i = 0u; i < SUMS; i++) {
        sums[i] = vec4<f32>();
        total[i] = vec4<f32>();
    }
    var steps = 0u;
    for (var k = 0u; k < p.k + TILE_K; k += TILE_K) {
        if (k > 0u) {
            workgroupBarrier();
            let ta = transpose(next_a);
            let a_to = 4u * a_at.y * QUADS + a_at.x;
            a_tile[a_to] = ta[0];
            a_tile[a_to + QUADS] = ta[1];
            a_tile[a_to + 2u * QUADS] = ta[2];
            a_tile[a_to + 3u * QUADS] = ta[3];
            let b_to = 4u * b_at.y * QUADS + b_at.x;
            b_tile[b_to] = next_b[0];
            b_tile[b_to + QUADS] = next_b[1];
            b_tile[b_to + 2u * QUADS] = next_b[2];
            b_tile[b_to + 3u * QUADS] = next_b[3];
            workgroupBarrier();
        }
        if (k < p.k) {
            next_a = a_block(t, t.m + 4u * a_at.x, k + 4u * a_at.y);
            next_b = b_block(t, t.n + 4u * b_at.x, k + 4u * b_at.y);
        }
        if (k > 0u) {
            for (var c = 0u; c < TILE_K; c++) {
                var bv: array<vec4<f32>, MICRO>;
                for (var j = 0u; j < MICRO; j++) {
                    bv[j] = b_tile[c * QUADS + j * SIDE + tx];
                }
                for (var i = 0u; i < MICRO; i++) {
                    let av = a_tile[c * QUADS + i * SIDE + ty];
                    for (var j = 0u; j < MICRO; j++) {
                        let o = (i * MICRO + j) * 4u;
                        sums[o] = fma(vec4<f32>(av.x), bv[j], sums[o]);
                        sums[o + 1u] = fma(vec4<f32>(av.y), bv[j], sums[o + 1u]);
                        sums[o + 2u] = fma(vec4<f32>(av.z), bv[j], sums[o + 2u]);
                        sums[o + 3u] = fma(vec4<f32>(av.w), bv[j], sums[o + 3u]);
                    }
                }
            }
            if (FOLD > 0u) {
                steps += 1u;
                if (steps == FOLD) {
                    steps = 0u;
                    for (var i = 0u; i < SUMS; i++) {
                        total[i] += sums[i];
                        sums[i] = vec4<f32>();
                    }
                }
            }
        }
    }
    for (var i = 0u; i < MICRO; i++) {
        for (var j = 0u; j < MICRO; j++) {
            for (var r = 0u; r < 4u; r++) {
                let o = (i * MICRO + j) * 4u + r;
                store(t, t.m + 4u * (i * SIDE + ty) + r, t.n + 4u * (j * SIDE + tx), sums[o] + total[o]);
            }
        }
    }
}
