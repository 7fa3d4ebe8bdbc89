// attention_av_tile.wgsl - weights . V for prompts on GPUs: tiles of attention weights and of V pass through shared
// memory, CHUNK context rows (a multiple of 4) at a time; an invocation makes MICRO_T queries x 4 elements.
// TILE_X = WG_X. The order of summation differs from attention_av.wgsl.

const MICRO_T: u32 = TILE_T / WG_Y;
const CHUNK4: u32 = CHUNK / 4u;

var<workgroup> w_tile: array<vec4<f32>, TILE_T * CHUNK4>; // [query, c / 4]: four context rows a vec4
var<workgroup> v_tile: array<vec4<f32>, CHUNK * TILE_X>;  // [c, d]

// Context rows c0 .. c0 + CHUNK - 1; zeros from `end` on.
fn load_tiles(tile: Tile, c0: u32, end: u32, local: u32) {
    for (var i = local; i < TILE_T * CHUNK4; i += WG_X * WG_Y) {
        let t = tile.t0 + i / CHUNK4;
        let c = c0 + 4u * (i % CHUNK4);
        var value = vec4<f32>();
        if (t < p.n_t) {
            let at = weights_at(tile.kv, t) + c;
            if (c < end) { value.x = weights[at]; }
            if (c + 1u < end) { value.y = weights[at + 1u]; }
            if (c + 2u < end) { value.z = weights[at + 2u]; }
            if (c + 3u < end) { value.w = weights[at + 3u]; }
        }
        w_tile[i] = value;
    }
    for (var i = local; i < CHUNK * TILE_X; i += WG_X * WG_Y) {
        let c = c0 + i / TILE_X;
        let d = tile.x0 + i % TILE_X;
        var value = vec4<f32>();
        if (c < end && d < D4) {
            value = v_cache[cache_at(tile.kv, c) + d];
        }
        v_tile[i] = value;
    }
}

@compute @workgroup_size(WG_X, WG_Y)
fn av_tile(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
           @builtin(local_invocation_id) local: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let tile = tile_at(workgroup, grid, D4);
    if (!tile.live) {
        return;
    }
    // What no query of the tile sees has weight 0 and is left out.
    let end = min(p.c1, visible(min(tile.t0 + TILE_T, p.n_t) - 1u));
    var sum: array<vec4<f32>, MICRO_T>;
    for (var c0 = p.c0; c0 < end; c0 += CHUNK) {
        load_tiles(tile, c0, end, index);
        workgroupBarrier();
        for (var c = 0u; c < CHUNK4; c++) {
            let v0 = v_tile[4u * c * TILE_X + local.x];
            let v1 = v_tile[(4u * c + 1u) * TILE_X + local.x];
            let v2 = v_tile[(4u * c + 2u) * TILE_X + local.x];
            let v3 = v_tile[(4u * c + 3u) * TILE_X + local.x];
            for (var i = 0u; i < MICRO_T; i++) {
                let w = w_tile[(local.y + i * WG_Y) * CHUNK4 + c];
                sum[i] += w.x * v0 + w.y * v1 + w.z * v2 + w.w * v3;
            }
        }
        workgroupBarrier();
    }
    let d = tile.x0 + local.x;
    for (var i = 0u; i < MICRO_T; i++) {
        let t = tile.t0 + local.y + i * WG_Y;
        if (t < p.n_t && d < D4) {
            let at = query_at(tile.kv, t) + d;
            o[at] = so_far(at) + sum[i];
        }
    }
}
