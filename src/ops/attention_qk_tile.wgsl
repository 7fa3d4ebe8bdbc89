// attention_qk_tile.wgsl - the same scores as attention_qk.wgsl, for GPUs: tiles of queries and keys pass through
// shared memory, CHUNK vec4 of head_dim at a time; an invocation makes MICRO_T x MICRO_C scores.
// With TILE_T = 64 it serves prompts, with TILE_T = 8 decode (K is then read once for all query heads of a group).

const MICRO_T: u32 = TILE_T / WG_Y;
const MICRO_C: u32 = TILE_X / WG_X;
const STRIDE: u32 = CHUNK + 1u; // odd, in vec4: lanes that read one column of a tile hit different banks

var<workgroup> q_tile: array<vec4<f32>, TILE_T * STRIDE>;
var<workgroup> k_tile: array<vec4<f32>, TILE_X * STRIDE>;

// Vec4s d0 .. d0 + CHUNK - 1 of the tile's queries and keys; zeros outside.
fn load_tiles(tile: Tile, d0: u32, local: u32) {
    for (var i = local; i < TILE_T * CHUNK; i += WG_X * WG_Y) {
        let t = tile.t0 + i / CHUNK;
        let d = d0 + i % CHUNK;
        var value = vec4<f32>();
        if (t < p.n_t && d < D4) {
            value = q[query_at(tile.kv, t) + d];
        }
        q_tile[i / CHUNK * STRIDE + i % CHUNK] = value;
    }
    for (var i = local; i < TILE_X * CHUNK; i += WG_X * WG_Y) {
        let c = p.c0 + tile.x0 + i / CHUNK;
        let d = d0 + i % CHUNK;
        var value = vec4<f32>();
        if (c < p.c1 && d < D4) {
            value = k_cache[cache_at(tile.kv, c) + d];
        }
        k_tile[i / CHUNK * STRIDE + i % CHUNK] = value;
    }
}

@compute @workgroup_size(WG_X, WG_Y)
fn qk_tile(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
           @builtin(local_invocation_id) local: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let tile = tile_at(workgroup, grid, p.c1 - p.c0);
    // Also done when no query of the tile sees any of its keys.
    if (!tile.live || p.c0 + tile.x0 >= visible(min(tile.t0 + TILE_T, p.n_t) - 1u)) {
        return;
    }
    var sum: array<array<f32, MICRO_C>, MICRO_T>;
    for (var d0 = 0u; d0 < D4; d0 += CHUNK) {
        load_tiles(tile, d0, index);
        workgroupBarrier();
        for (var d = 0u; d < CHUNK; d++) {
            var k: array<vec4<f32>, MICRO_C>;
            for (var j = 0u; j < MICRO_C; j++) {
                k[j] = k_tile[(local.x + j * WG_X) * STRIDE + d];
            }
            for (var i = 0u; i < MICRO_T; i++) {
                let a = q_tile[(local.y + i * WG_Y) * STRIDE + d];
                for (var j = 0u; j < MICRO_C; j++) {
                    sum[i][j] += dot(a, k[j]);
                }
            }
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < MICRO_T; i++) {
        for (var j = 0u; j < MICRO_C; j++) {
            put(tile.kv, tile.t0 + local.y + i * WG_Y, p.c0 + tile.x0 + local.x + j * WG_X, sum[i][j]);
        }
    }
}
