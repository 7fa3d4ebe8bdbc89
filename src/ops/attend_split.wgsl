// attend_split.wgsl - the work of a kernel that makes splits, and how it leaves its results.

// What a workgroup (attend_each: an invocation) makes: TILE_T queries of a kv head over the cache rows begin <= c < end.
struct Work {
    live: bool, // false: past the last one
    kv: u32,
    t0: u32,
    split: u32, // among all windows' splits
    begin: u32,
    end: u32,   // rows that no query of the tile sees are left out
}

// Cache rows that query t sees: its own position and all before it.
fn visible(t: u32) -> u32 {
    return p.pos + t / G + 1u;
}

// The tiles with the longest context come first.
fn work_at(i: u32) -> Work {
    let tiles = (p.n_t + TILE_T - 1u) / TILE_T;
    let per_tile = N_KV * p.window_splits;
    let live = i < per_tile * tiles;
    let t0 = select(0u, (tiles - 1u - i / per_tile) * TILE_T, live);
    let split = i % per_tile / N_KV;
    let begin = p.c0 + split * p.split_rows;
    let last = visible(min(t0 + TILE_T, p.n_t) - 1u);
    return Work(live, i % N_KV, t0, p.split0 + split, begin, min(min(begin + p.split_rows, p.c1), last));
}

fn put(work: Work, t: u32, d: u32, sum: vec4<f32>, top: f32, total: f32) {
    if (t >= p.n_t) {
        return;
    }
    if (p.n_splits == 1u) {
        o[query_at(work.kv, t) + d] = sum / total;
        return;
    }
    let at = partial_at(work.kv, t, work.split);
    partial[at + d] = sum;
    if (d == 0u) {
        partial[at + D4] = vec4<f32>(top, total, 0.0, 0.0);
    }
}

fn put_four(work: Work, t: u32, d: u32, m: mat4x4<f32>, top: vec4<f32>, total: vec4<f32>) {
    put(work, t, d, m[0], top.x, total.x);
    put(work, t + 1u, d, m[1], top.y, total.y);
    put(work, t + 2u, d, m[2], top.z, total.z);
    put(work, t + 3u, d, m[3], top.w, total.w);
}

// Matrices hold a column for each of four queries; columns are named, not indexed by loops, so that they stay in
// registers.
fn scale_columns(m: mat4x4<f32>, f: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(m[0] * f.x, m[1] * f.y, m[2] * f.z, m[3] * f.w);
}

// m + x . y^T
fn add_outer(m: mat4x4<f32>, x: vec4<f32>, y: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(fma(x, vec4<f32>(y.x), m[0]), fma(x, vec4<f32>(y.y), m[1]), fma(x, vec4<f32>(y.z), m[2]),
                       fma(x, vec4<f32>(y.w), m[3]));
}
