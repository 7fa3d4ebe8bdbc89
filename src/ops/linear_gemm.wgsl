// linear_gemm.wgsl - tiled product for many rows: TILE_M x TILE_N outputs a workgroup, TILE_K of K a step, through
// workgroup memory. An invocation computes MICRO_M x MICRO_N quads (4 x 4 outputs each). What the next step needs is
// loaded into registers, as it is stored, while this step is computed; with BUFFERS = 2 a step needs one barrier.

const K4: u32 = K / 4u;
const M4: u32 = TILE_M / 4u; // quads of x rows in a tile
const N4: u32 = TILE_N / 4u; // quads of weight rows
const THREADS_N: u32 = N4 / MICRO_N;
const THREADS_M: u32 = M4 / MICRO_M;
// What the invocations load a step: 4 x 4 blocks of x, and pairs (elements j, j + 4 of a unit) of weight quads.
const X_BLOCKS: u32 = M4 * (TILE_K / 4u);
const W_PAIRS: u32 = N4 * (TILE_K / 2u);
const X_LOADS: u32 = (X_BLOCKS + WG_X - 1u) / WG_X;
const W_LOADS: u32 = (W_PAIRS + WG_X - 1u) / WG_X;
const_assert THREADS_M * THREADS_N == WG_X;

struct raw_pair { first: vec4<u32>, second: vec4<u32>, scale: vec4<u32>, low: vec4<u32> }

var<workgroup> xs: array<vec4<f32>, TILE_K * M4 * BUFFERS>; // [k][quad of m]
var<workgroup> ws: array<vec4<f32>, TILE_K * N4 * BUFFERS>; // [k][quad of n]

var<private> acc: array<vec4<f32>, MICRO_M * 4u * MICRO_N>;
var<private> xr: array<vec4<f32>, X_LOADS * 4u>;
var<private> wr: array<raw_pair, W_LOADS>;

// x[row, 4i .. 4i+3], zero past the row. Rows past m repeat the last one and are not stored.
fn load_x(row: u32, i: u32) -> vec4<f32> {
    if (K % TILE_K != 0u && i >= K4) {
        return vec4<f32>();
    }
    return x[min(row, p.m - 1u) * K4 + i];
}

// The words of elements j and j + 4 of a unit.
fn load_w(quad: u32, unit: u32, j: u32) -> raw_pair {
    let at = quad_index(quad, unit * UNIT_WORDS, p.kw);
    var r = raw_pair();
    if (STORAGE == STORE_Q4 || STORAGE == STORE_Q4A) {
        r.first = wdata[at];
    } else {
        let word = j * UNIT_WORDS / 8u;
        r.first = wdata[at + 4u * word];
        r.second = wdata[at + 4u * word + 2u * UNIT_WORDS];
    }
    if (W_QUANTIZED) {
        r.scale = quad_scale_words(quad, unit * 8u);
    }
    if (STORAGE == STORE_Q4A) {
        r.low = quad_min_words(quad, unit * 8u);
    }
    return r;
}

fn value_of(r: raw_pair, j: u32) -> pair {
    var w = codes_of(r.first, r.second, j);
    if (W_QUANTIZED) {
        let scale = scales_of(r.scale);
        w.low *= scale;
        w.high *= scale;
    }
    if (STORAGE == STORE_Q4A) {
        let low = scales_of(r.low);
        w.low -= low;
        w.high -= low;
    }
    return w;
}

fn load_step(k: u32, lid: u32, m_first: u32, first_quad: u32) {
    for (var l = 0u; l < X_LOADS; l++) {
        let i = lid + l * WG_X;
        if (X_LOADS * WG_X == X_BLOCKS || i < X_BLOCKS) {
            let row = m_first + 4u * (i / (TILE_K / 4u));
            for (var r = 0u; r < 4u; r++) {
                xr[4u * l + r] = load_x(row + r, k / 4u + i % (TILE_K / 4u));
            }
        }
    }
    let last_quad = ((p.n_part + 15u) / 16u) * 4u - 1u;
    for (var l = 0u; l < W_LOADS; l++) {
        let i = WG_X - 1u - lid + l * WG_X;
        if (W_LOADS * WG_X == W_PAIRS || i < W_PAIRS) {
            wr[l] = load_w(min(first_quad + i / (TILE_K / 2u), last_quad), k / 8u + (i / 4u) % (TILE_K / 8u), i % 4u);
        }
    }
}

fn store_step(buffer: u32, lid: u32) {
    for (var l = 0u; l < X_LOADS; l++) {
        let i = lid + l * WG_X;
        if (X_LOADS * WG_X == X_BLOCKS || i < X_BLOCKS) {
            let to = (buffer * TILE_K + 4u * (i % (TILE_K / 4u))) * M4 + i / (TILE_K / 4u);
            let t = transpose(mat4x4<f32>(xr[4u * l], xr[4u * l + 1u], xr[4u * l + 2u], xr[4u * l + 3u]));
            xs[to] = t[0];
            xs[to + M4] = t[1];
            xs[to + 2u * M4] = t[2];
            xs[to + 3u * M4] = t[3];
        }
    }
    for (var l = 0u; l < W_LOADS; l++) {
        let i = WG_X - 1u - lid + l * WG_X;
        if (W_LOADS * WG_X == W_PAIRS || i < W_PAIRS) {
            let to = (buffer * TILE_K + 8u * ((i / 4u) % (TILE_K / 8u)) + i % 4u) * N4 + i / (TILE_K / 2u);
            let w = value_of(wr[l], i % 4u);
            ws[to] = w.low;
            ws[to + 4u * N4] = w.high;
        }
    }
}

fn compute_step(buffer: u32, tx: u32, ty: u32) {
    for (var c = 0u; c < TILE_K; c++) {
        var wv: array<vec4<f32>, MICRO_N>;
        for (var b = 0u; b < MICRO_N; b++) {
            wv[b] = ws[(buffer * TILE_K + c) * N4 + b * THREADS_N + tx];
        }
        for (var a = 0u; a < MICRO_M; a++) {
            let xv = xs[(buffer * TILE_K + c) * M4 + a * THREADS_M + ty];
            for (var b = 0u; b < MICRO_N; b++) {
                let o = (a * MICRO_N + b) * 4u;
                acc[o] = fma(vec4<f32>(xv.x), wv[b], acc[o]);
                acc[o + 1u] = fma(vec4<f32>(xv.y), wv[b], acc[o + 1u]);
                acc[o + 2u] = fma(vec4<f32>(xv.z), wv[b], acc[o + 2u]);
                acc[o + 3u] = fma(vec4<f32>(xv.w), wv[b], acc[o + 3u]);
            }
        }
    }
}

fn store_tile(m_first: u32, n_first: u32, tx: u32, ty: u32) {
    for (var a = 0u; a < MICRO_M; a++) {
        for (var b = 0u; b < MICRO_N; b++) {
            for (var i = 0u; i < 16u; i++) {
                let m = m_first + 4u * (a * THREADS_M + ty) + i / 4u;
                let n = n_first + 4u * (b * THREADS_N + tx) + i % 4u;
                if (m < p.m && n < p.n_part) {
                    put(m, n, acc[(a * MICRO_N + b) * 4u + i / 4u][i % 4u]);
                }
            }
        }
    }
}

@compute @workgroup_size(WG_X)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lid: u32) {
    let tile = wid.z * nwg.x + wid.x;
    if (tile * TILE_N >= p.n_part) {
        return;
    }
    let m_first = wid.y * TILE_M;
    // Of 16 neighbours 8 x 2 are neighbours in the tile: they read the fewest different words of both operands.
    let tx = lid % 16u / 2u + lid / (8u * THREADS_M) * 8u;
    let ty = lid % 2u + lid / 16u % (THREADS_M / 2u) * 2u;
    for (var i = 0u; i < MICRO_M * 4u * MICRO_N; i++) {
        acc[i] = vec4<f32>();
    }
    load_step(0u, lid, m_first, tile * N4);
    for (var k = 0u; k < K; k += TILE_K) {
        let buffer = k / TILE_K % BUFFERS;
        if (BUFFERS == 1u) {
            workgroupBarrier();
        }
        store_step(buffer, lid);
        workgroupBarrier();
        if (k + TILE_K < K) {
            load_step(k + TILE_K, lid, m_first, tile * N4);
        }
        compute_step(buffer, tx, ty);
    }
    store_tile(m_first, tile * TILE_N, tx, ty);
}
