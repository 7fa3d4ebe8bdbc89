// attend_tile.wgsl - fused attention for prompts: TILE_T queries by TILE_K = 4 * WG_X cache rows at a time. Tiles pass
// through shared memory, STEP numbers deep, as vec4s across queries and across cache rows, so that an invocation multiplies
// 4 or 8 queries with 4 rows (scores) or 4 elements of D (output) out of two or three reads. Queries t0 + local.y *
// MICRO_T.. and cache rows local.x + 16 j, j = 0..3, are an invocation's own: after softmax the weights of rows
// 16 j .. 16 j + 15 are one component of everybody's scores, which is a step of the product with V.

const TILE_K: u32 = 4u * WG_X;
const STEP: u32 = WG_X;                 // elements of D for the scores, cache rows for the output
const MICRO_T: u32 = TILE_T / WG_Y;
const QUADS: u32 = MICRO_T / 4u;        // vec4s of an invocation's queries
const STRIDE: u32 = TILE_T / 4u + 1u;   // odd: neighbours write to different memory banks
const WIDTH: u32 = (D4 + WG_X - 1u) / WG_X; // vec4s of D of an invocation: d = local.x + WG_X * j

var<workgroup> left: array<vec4<f32>, STEP * STRIDE>;           // [step, query / 4]
var<workgroup> right: array<vec4<f32>, STEP * WG_X * WIDTH>;    // [step, row % 16] or [row, d]

fn store_left(m: mat4x4<f32>, at: u32) {
    left[at] = m[0];
    left[at + STRIDE] = m[1];
    left[at + 2u * STRIDE] = m[2];
    left[at + 3u * STRIDE] = m[3];
}

fn store_right(m: mat4x4<f32>, at: u32) {
    right[at] = m[0];
    right[at + WG_X] = m[1];
    right[at + 2u * WG_X] = m[2];
    right[at + 3u * WG_X] = m[3];
}

fn query_four(work: Work, t: u32, d4: u32) -> vec4<f32> {
    if (t < p.n_t && d4 < D4) {
        return q[query_at(work.kv, t) + d4] * p.scale;
    }
    return vec4<f32>();
}

fn key_four(work: Work, c: u32, d4: u32) -> vec4<f32> {
    if (c < work.end && d4 < D4) {
        return k_four(c - p.c0, work.kv * D4 + d4);
    }
    return vec4<f32>();
}

// Elements d0 .. d0 + STEP - 1 of the queries and of cache rows c0 .. c0 + TILE_K - 1, turned so that a vec4 has one
// element of four of them.
fn load_scores_step(work: Work, c0: u32, d0: u32, index: u32) {
    const KEYS = WG_X * STEP / 4u;
    for (var i = index; i < KEYS + TILE_T / 4u * STEP / 4u; i += WG_X * WG_Y) {
        if (i < KEYS) {
            let c = c0 + i % WG_X;
            let d = i / WG_X;
            let d4 = d0 / 4u + d;
            let m = mat4x4<f32>(key_four(work, c, d4), key_four(work, c + WG_X, d4),
                                key_four(work, c + 2u * WG_X, d4), key_four(work, c + 3u * WG_X, d4));
            store_right(transpose(m), 4u * d * WG_X + i % WG_X);
        } else {
            let quad = (i - KEYS) % (TILE_T / 4u);
            let t = work.t0 + 4u * quad;
            let d = (i - KEYS) / (TILE_T / 4u);
            let d4 = d0 / 4u + d;
            let m = mat4x4<f32>(query_four(work, t, d4), query_four(work, t + 1u, d4), query_four(work, t + 2u, d4),
                                query_four(work, t + 3u, d4));
            store_left(transpose(m), 4u * d * STRIDE + quad);
        }
    }
}

// Cache rows c0 .. c0 + STEP - 1 of V; zeros outside.
fn load_values_step(work: Work, c0: u32, index: u32) {
    for (var i = index; i < STEP * WG_X * WIDTH; i += WG_X * WG_Y) {
        let c = c0 + i / (WG_X * WIDTH);
        let d = i % (WG_X * WIDTH);
        var x = vec4<f32>();
        if (c < work.end && d < D4) {
            x = v_four(c - p.c0, work.kv * D4 + d);
        }
        right[i] = x;
    }
}

// The largest score of each query.
fn largest(m: mat4x4<f32>) -> vec4<f32> {
    let t = transpose(m);
    return max(max(t[0], t[1]), max(t[2], t[3]));
}

// A vec4 of four queries from each of the WG_X invocations that share them, in `left`.
fn all_largest(at: u32, first: vec4<f32>) -> vec4<f32> {
    var most = first;
    for (var x = 0u; x < WG_X; x++) {
        most = max(most, left[x * STRIDE + at]);
    }
    return most;
}

fn all_sum(at: u32) -> vec4<f32> {
    var sum = vec4<f32>();
    for (var x = 0u; x < WG_X; x++) {
        sum += left[x * STRIDE + at];
    }
    return sum;
}

@compute @workgroup_size(WG_X, WG_Y)
fn attend_tile(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
               @builtin(local_invocation_id) local: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let work = work_at(workgroup.y * grid.x + workgroup.x);
    if (!work.live) {
        return;
    }
    let mine = local.y * QUADS;                         // first vec4 of its queries
    let own = local.x * STRIDE + mine;                  // where it leaves numbers of them
    let t0 = work.t0 + local.y * MICRO_T;
    var top: array<vec4<f32>, QUADS>;
    var total: array<vec4<f32>, QUADS>;                 // over its own cache rows
    var sum: array<array<mat4x4<f32>, WIDTH>, QUADS>;   // a column for each query
    for (var h = 0u; h < QUADS; h++) {
        top[h] = vec4<f32>(LOWEST);
    }
    for (var c0 = work.begin; c0 < work.end; c0 += TILE_K) {
        // naga clears a variable without a value once only, not in every round
        var s = array<mat4x4<f32>, QUADS>();
        for (var d0 = 0u; d0 < 4u * D4; d0 += STEP) {
            load_scores_step(work, c0, d0, index);
            workgroupBarrier();
            for (var d = 0u; d < STEP; d++) {
                let k = right[d * WG_X + local.x];
                for (var h = 0u; h < QUADS; h++) {
                    s[h] = add_outer(s[h], k, left[d * STRIDE + mine + h]);
                }
            }
            workgroupBarrier();
        }
        if (c0 + TILE_K > min(work.end, visible(work.t0))) {
            let rows = vec4<u32>(c0 + local.x) + vec4<u32>(0u, WG_X, 2u * WG_X, 3u * WG_X);
            for (var h = 0u; h < QUADS; h++) {
                s[h] = mask(s[h], rows, work.end, t0 + 4u * h);
            }
        }
        for (var h = 0u; h < QUADS; h++) {
            left[own + h] = largest(s[h]);
        }
        workgroupBarrier();
        for (var h = 0u; h < QUADS; h++) {
            let most = all_largest(mine + h, top[h]);
            let old = exp2(top[h] - most);
            let w = transpose(powers(s[h], most)); // a column for each cache row
            top[h] = most;
            total[h] = total[h] * old + ((w[0] + w[1]) + (w[2] + w[3]));
            s[h] = w;
            for (var x = 0u; x < WIDTH; x++) {
                sum[h][x] = scale_columns(sum[h][x], old);
            }
        }
        workgroupBarrier();
        for (var j = 0u; j < 4u; j++) {
            for (var h = 0u; h < QUADS; h++) {
                left[own + h] = s[h][0];
                s[h] = mat4x4<f32>(s[h][1], s[h][2], s[h][3], s[h][0]); // by moves: an index would cost memory
            }
            load_values_step(work, c0 + j * WG_X, index);
            workgroupBarrier();
            for (var c = 0u; c < STEP; c++) {
                for (var x = 0u; x < WIDTH; x++) {
                    let v = right[c * WG_X * WIDTH + x * WG_X + local.x];
                    for (var h = 0u; h < QUADS; h++) {
                        sum[h][x] = add_outer(sum[h][x], v, left[c * STRIDE + mine + h]);
                    }
                }
            }
            workgroupBarrier();
        }
    }
    for (var h = 0u; h < QUADS; h++) {
        left[own + h] = total[h];
    }
    workgroupBarrier();
    for (var h = 0u; h < QUADS; h++) {
        let all = all_sum(mine + h);
        for (var x = 0u; x < WIDTH; x++) {
            let d = local.x + x * WG_X;
            if (d < D4) {
                put_four(work, t0 + 4u * h, d, sum[h][x], top[h], all);
            }
        }
    }
}
