// attend_block.wgsl - fused attention for prompts with subgroups and more workgroup memory than attend_tile.wgsl: the
// queries stay there, K and V come in tiles of TILE_K cache rows, read ahead into registers, and two barriers a tile are
// enough. A team of 8 lanes shares MICRO_T queries; lane x of it makes their scores with cache rows x + TEAM * j,
// j = 0..3, and eight x of their output. The lanes are numbered by subgroup, of LEAST_SUBGROUP lanes or more.

const TEAM: u32 = 8u;
const TEAMS: u32 = WG_X / TEAM;
const TILE_K: u32 = 4u * TEAM;
const MICRO_T: u32 = TILE_T / TEAMS;
const QUADS: u32 = MICRO_T / 4u;      // vec4s of an invocation's queries
const STRIDE: u32 = TILE_T / 4u + 1u; // odd: neighbours write to different memory banks

var<workgroup> queries: array<vec4<f32>, 4u * D4 * STRIDE>;  // [d, query / 4]
var<workgroup> keys: array<vec4<f32>, 4u * D4 * TEAM>;       // [d, x ^ (d / 8)]: four rows, TEAM apart
var<workgroup> values: array<vec4<f32>, TILE_K * D4>;        // [row, half of an eight, eight]
var<workgroup> weights: array<vec4<f32>, TILE_K * STRIDE>;   // [row, query / 4]

// One eight of four cache rows, TEAM apart: what an invocation brings of a tile.
struct Four {
    x0: Packed,
    x1: Packed,
    x2: Packed,
    x3: Packed,
}

// Which: eight e of rows x + TEAM * j; none where x >= TEAM.
struct Item {
    x: u32,
    e: u32,
}

// Past the end, the last row again, whose score is masked.
fn row_of(work: Work, c: u32) -> u32 {
    return min(c, max(work.end, work.begin + 1u) - 1u) - p.c0;
}

fn load_keys(work: Work, item: Item, c0: u32) -> Four {
    let e = work.kv * D8 + item.e;
    let c = c0 + item.x;
    return Four(load_k(row_of(work, c), e), load_k(row_of(work, c + TEAM), e), load_k(row_of(work, c + 2u * TEAM), e),
                load_k(row_of(work, c + 3u * TEAM), e));
}

fn load_values(work: Work, item: Item, c0: u32) -> Four {
    let e = work.kv * D8 + item.e;
    let c = c0 + item.x;
    return Four(load_v(row_of(work, c), e), load_v(row_of(work, c + TEAM), e), load_v(row_of(work, c + 2u * TEAM), e),
                load_v(row_of(work, c + 3u * TEAM), e));
}

fn store_keys(work: Work, item: Item, four: Four) {
    if (item.x >= TEAM) {
        return;
    }
    let e = work.kv * D8 + item.e;
    let k0 = unpack(four.x0, e);
    let k1 = unpack(four.x1, e);
    let k2 = unpack(four.x2, e);
    let k3 = unpack(four.x3, e);
    let a = transpose(mat4x4<f32>(k0.a, k1.a, k2.a, k3.a));
    let b = transpose(mat4x4<f32>(k0.b, k1.b, k2.b, k3.b));
    let at = 8u * item.e * TEAM + (item.x ^ item.e);
    keys[at] = a[0];
    keys[at + TEAM] = a[1];
    keys[at + 2u * TEAM] = a[2];
    keys[at + 3u * TEAM] = a[3];
    keys[at + 4u * TEAM] = b[0];
    keys[at + 5u * TEAM] = b[1];
    keys[at + 6u * TEAM] = b[2];
    keys[at + 7u * TEAM] = b[3];
}

fn store_value(row: u32, e: u32, x: Eight) {
    values[row * D4 + e] = x.a;
    values[row * D4 + D8 + e] = x.b;
}

fn store_values(work: Work, item: Item, four: Four) {
    if (item.x >= TEAM) {
        return;
    }
    let e = work.kv * D8 + item.e;
    store_value(item.x, item.e, unpack(four.x0, e));
    store_value(item.x + TEAM, item.e, unpack(four.x1, e));
    store_value(item.x + 2u * TEAM, item.e, unpack(four.x2, e));
    store_value(item.x + 3u * TEAM, item.e, unpack(four.x3, e));
}

fn query_four(work: Work, t: u32, d4: u32) -> vec4<f32> {
    if (t < p.n_t) {
        return q[query_at(work.kv, t) + d4] * p.scale;
    }
    return vec4<f32>();
}

fn load_queries(work: Work, lane: u32) {
    for (var i = lane; i < TILE_T / 4u * D4; i += WG_X) {
        let t = work.t0 + i / D4 * 4u;
        let d4 = i % D4;
        let m = transpose(mat4x4<f32>(query_four(work, t, d4), query_four(work, t + 1u, d4),
                                      query_four(work, t + 2u, d4), query_four(work, t + 3u, d4)));
        let at = 4u * d4 * STRIDE + i / D4;
        queries[at] = m[0];
        queries[at + STRIDE] = m[1];
        queries[at + 2u * STRIDE] = m[2];
        queries[at + 3u * STRIDE] = m[3];
    }
}

// The largest score of each query over the rows of all TEAM invocations.
fn largest(m: mat4x4<f32>) -> vec4<f32> {
    let t = transpose(m);
    var most = max(max(t[0], t[1]), max(t[2], t[3]));
    most = max(most, subgroupShuffleXor(most, 1u));
    most = max(most, subgroupShuffleXor(most, 2u));
    return max(most, subgroupShuffleXor(most, 4u));
}

fn all_sum(x: vec4<f32>) -> vec4<f32> {
    var sum = x;
    sum += subgroupShuffleXor(sum, 1u);
    sum += subgroupShuffleXor(sum, 2u);
    return sum + subgroupShuffleXor(sum, 4u);
}

@compute @workgroup_size(WG_X)
fn attend_block(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
                @builtin(subgroup_id) group: u32, @builtin(subgroup_size) size: u32,
                @builtin(subgroup_invocation_id) member: u32) {
    let work = work_at(workgroup.y * grid.x + workgroup.x);
    if (!work.live) {
        return;
    }
    // Where no size is told it may be smaller than LEAST_SUBGROUP: wrong then, but within bounds.
    let lane = min(group * size + member, WG_X - 1u);
    let x = lane % TEAM;
    let mine = lane / TEAM * QUADS; // first vec4 of the team's queries
    let t0 = work.t0 + 4u * mine;
    let item = Item(lane / D8, lane % D8);
    let d = min(x, D8 - 1u);        // its eight of the output
    var top: array<vec4<f32>, QUADS>;
    var total: array<vec4<f32>, QUADS>;     // over its own cache rows
    var sum_a: array<mat4x4<f32>, QUADS>;   // a column for each query
    var sum_b: array<mat4x4<f32>, QUADS>;
    for (var h = 0u; h < QUADS; h++) {
        top[h] = vec4<f32>(LOWEST);
    }
    load_queries(work, lane);
    store_keys(work, item, load_keys(work, item, work.begin));
    for (var c0 = work.begin; c0 < work.end; c0 += TILE_K) {
        workgroupBarrier();
        let v = load_values(work, item, c0);
        // naga clears a variable without a value once only, not in every round
        var s = array<mat4x4<f32>, QUADS>();
        for (var e = 0u; e < D8; e++) {
            let at = 8u * e * TEAM + (x ^ e);
            for (var i = 0u; i < 8u; i++) {
                let k = keys[at + i * TEAM];
                for (var h = 0u; h < QUADS; h++) {
                    s[h] = add_outer(s[h], k, queries[(8u * e + i) * STRIDE + mine + h]);
                }
            }
        }
        store_values(work, item, v);
        if (c0 + TILE_K > min(work.end, visible(work.t0))) {
            let rows = vec4<u32>(c0 + x) + vec4<u32>(0u, TEAM, 2u * TEAM, 3u * TEAM);
            for (var h = 0u; h < QUADS; h++) {
                s[h] = mask(s[h], rows, work.end, t0 + 4u * h);
            }
        }
        for (var h = 0u; h < QUADS; h++) {
            let most = max(top[h], largest(s[h]));
            let old = exp2(top[h] - most);
            let w = transpose(powers(s[h], most)); // a column for each cache row
            top[h] = most;
            total[h] = total[h] * old + ((w[0] + w[1]) + (w[2] + w[3]));
            sum_a[h] = scale_columns(sum_a[h], old);
            sum_b[h] = scale_columns(sum_b[h], old);
            let at = x * STRIDE + mine + h;
            weights[at] = w[0];
            weights[at + TEAM * STRIDE] = w[1];
            weights[at + 2u * TEAM * STRIDE] = w[2];
            weights[at + 3u * TEAM * STRIDE] = w[3];
        }
        workgroupBarrier();
        let next = load_keys(work, item, c0 + TILE_K);
        for (var c = 0u; c < TILE_K; c++) {
            let a = values[c * D4 + d];
            let b = values[c * D4 + D8 + d];
            for (var h = 0u; h < QUADS; h++) {
                let w = weights[c * STRIDE + mine + h];
                sum_a[h] = add_outer(sum_a[h], a, w);
                sum_b[h] = add_outer(sum_b[h], b, w);
            }
        }
        store_keys(work, item, next);
    }
    for (var h = 0u; h < QUADS; h++) {
        let all = all_sum(total[h]);
        if (x < D8) {
            put_four(work, t0 + 4u * h, 2u * d, sum_a[h], top[h], all);
            put_four(work, t0 + 4u * h, 2u * d + 1u, sum_b[h], top[h], all);
        }
    }
}
