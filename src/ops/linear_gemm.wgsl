// linear_gemm.wgsl - tiled product for many rows: TILE_M x TILE_N outputs a workgroup, K in steps of 16 through
// workgroup memory. An invocation computes MICRO_M x MICRO_N quads (4 x 4 outputs each). What the next step needs is
// loaded into registers while this step is computed.

const TILE_K: u32 = 16u;
const K4: u32 = K / 4u;
const M4: u32 = TILE_M / 4u; // quads of x rows in a tile
const N4: u32 = TILE_N / 4u; // quads of weight rows
const THREADS_N: u32 = N4 / MICRO_N;
// What an invocation loads a step: 4 x 4 blocks of x, and pairs (elements j, j + 4 of a unit) of weight quads.
const X_LOADS: u32 = M4 * 4u / WG_X;
const W_LOADS: u32 = N4 * 8u / WG_X;

var<workgroup> xs: array<vec4<f32>, TILE_K * M4>; // [k][quad of m]
var<workgroup> ws: array<vec4<f32>, TILE_K * N4>; // [k][quad of n]

// x[row, 4i .. 4i+3], zero past the row. Rows past m repeat the last one and are not stored.
fn load_x(row: u32, i: u32) -> vec4<f32> {
    if (K % TILE_K != 0u && i >= K4) {
        return vec4<f32>();
    }
    return x[min(row, p.m - 1u) * K4 + i];
}

fn load_w(quad: u32, unit: u32, j: u32) -> pair {
    let at = quad_index(quad, unit * UNIT_WORDS, p.kw);
    var w = unit_pair(at, wdata[at], j);
    if (W_QUANTIZED) {
        let scale = quad_scale(quad, unit * 8u);
        w.low *= scale;
        w.high *= scale;
    }
    if (STORAGE == STORE_Q4A) {
        let low = quad_min(quad, unit * 8u);
        w.low -= low;
        w.high -= low;
    }
    return w;
}

@compute @workgroup_size(WG_X)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lid: u32) {
    let tile = wid.z * nwg.x + wid.x;
    let n_first = tile * TILE_N;
    if (n_first >= p.n_part) {
        return;
    }
    let m_first = wid.y * TILE_M;
    let last_quad = ((p.n_part + 15u) / 16u) * 4u - 1u;
    let tx = lid % THREADS_N;
    let ty = lid / THREADS_N;
    var xr: array<vec4<f32>, X_LOADS * 4u>;
    var wr: array<pair, W_LOADS>;
    var acc: array<vec4<f32>, MICRO_M * 4u * MICRO_N>;
    for (var i = 0u; i < MICRO_M * 4u * MICRO_N; i++) {
        acc[i] = vec4<f32>();
    }
    for (var k = 0u; k < K + TILE_K; k += TILE_K) {
        if (k > 0u) {
            workgroupBarrier();
            for (var l = 0u; l < X_LOADS; l++) {
                let i = lid + l * WG_X;
                let to = 4u * (i % 4u) * M4 + i / 4u;
                let t = transpose(mat4x4<f32>(xr[4u * l], xr[4u * l + 1u], xr[4u * l + 2u], xr[4u * l + 3u]));
                xs[to] = t[0];
                xs[to + M4] = t[1];
                xs[to + 2u * M4] = t[2];
                xs[to + 3u * M4] = t[3];
            }
            for (var l = 0u; l < W_LOADS; l++) {
                let i = lid + l * WG_X;
                let to = (8u * ((i / 4u) % 2u) + i % 4u) * N4 + i / 8u;
                ws[to] = wr[l].low;
                ws[to + 4u * N4] = wr[l].high;
            }
            workgroupBarrier();
        }
        if (k < K) {
            for (var l = 0u; l < X_LOADS; l++) {
                let i = lid + l * WG_X;
                let row = m_first + 4u * (i / 4u);
                for (var r = 0u; r < 4u; r++) {
                    xr[4u * l + r] = load_x(row + r, k / 4u + i % 4u);
                }
            }
            for (var l = 0u; l < W_LOADS; l++) {
                let i = lid + l * WG_X;
                wr[l] = load_w(min(tile * N4 + i / 8u, last_quad), k / 8u + (i / 4u) % 2u, i % 4u);
            }
        }
        if (k > 0u) {
            for (var c = 0u; c < TILE_K; c++) {
                var wv: array<vec4<f32>, MICRO_N>;
                for (var b = 0u; b < MICRO_N; b++) {
                    wv[b] = ws[c * N4 + b * THREADS_N + tx];
                }
                for (var a = 0u; a < MICRO_M; a++) {
                    let xv = xs[c * M4 + a * (M4 / MICRO_M) + ty];
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
    }
    for (var a = 0u; a < MICRO_M; a++) {
        for (var b = 0u; b < MICRO_N; b++) {
            for (var i = 0u; i < 16u; i++) {
                let m = m_first + 4u * (a * (M4 / MICRO_M) + ty) + i / 4u;
                let n = n_first + 4u * (b * THREADS_N + tx) + i % 4u;
                if (m < p.m && n < p.n_part) {
                    put(m, n, acc[(a * MICRO_N + b) * 4u + i / 4u][i % 4u]);
                }
            }
        }
    }
}
