// linear_row.wgsl - one invocation a weight row, TILE_M rows of x: for software devices, where workgroup barriers are
// slow. Neighbouring invocations read neighbouring words; x is the same for all of them.

struct Params { m: u32, n: u32, n0: u32, n_part: u32, kw: u32, groups: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;    // [m, K]
@group(0) @binding(2) var<storage, read> wdata: array<u32>;
@group(0) @binding(3) var<storage, read> wscales: array<u32>;
@group(0) @binding(4) var<storage, read> wmins: array<u32>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;       // [n]
@group(0) @binding(6) var<storage, read_write> y: array<f32>;    // [m, n]

const K4: u32 = K / 4u;
const UNITS: u32 = (K + 7u) / 8u;
// Units that share a scale.
const RUN: u32 = select(select(4u, 2u, GROUP == 16u), 4u, !W_QUANTIZED);
const UNIT_WORDS: u32 = 8u / W_ELEMENTS;

fn load_x(row: u32, i: u32) -> vec4<f32> {
    if (K % 32u != 0u && i >= K4) {
        return vec4<f32>();
    }
    return x[min(row, p.m - 1u) * K4 + i];
}

// Elements 4h .. 4h+3 of the unit at word index `at` (words of a row are PACK_ROWS apart), before scale.
fn half_unit(at: u32, h: u32) -> vec4<f32> {
    if (STORAGE == STORE_Q4 || STORAGE == STORE_Q4A) {
        let v = vec4<f32>(unpack4xU8((wdata[at] >> (4u * h)) & 0x0F0F0F0Fu));
        if (STORAGE == STORE_Q4) {
            return v - 8.0;
        }
        return v;
    }
    if (STORAGE == STORE_Q8) {
        return vec4<f32>(unpack4xI8(wdata[at + h * PACK_ROWS]));
    }
    if (STORAGE == STORE_F32) {
        let i = at + 4u * h * PACK_ROWS;
        return bitcast<vec4<f32>>(vec4<u32>(wdata[i], wdata[i + PACK_ROWS], wdata[i + 2u * PACK_ROWS], wdata[i + 3u * PACK_ROWS]));
    }
    let a = wdata[at + 2u * h * PACK_ROWS];
    let b = wdata[at + (2u * h + 1u) * PACK_ROWS];
    return vec4<f32>(w_code(a, 0u), w_code(a, 1u), w_code(b, 0u), w_code(b, 1u));
}

fn dots(w: vec4<f32>, m: u32, i: u32) -> vec4<f32> {
    if (TILE_M == 1u) {
        return vec4<f32>(dot(w, load_x(m, i)), 0.0, 0.0, 0.0);
    }
    return vec4<f32>(dot(w, load_x(m, i)), dot(w, load_x(m + 1u, i)), dot(w, load_x(m + 2u, i)), dot(w, load_x(m + 3u, i)));
}

fn totals(m: u32, i: u32) -> vec4<f32> {
    return dots(vec4<f32>(1.0), m, i);
}

fn store(m: u32, n: u32, sum: f32) {
    if (m < p.m) {
        var v = sum;
        if (HAS_BIAS == 1u) {
            v += bias[p.n0 + n];
        }
        y[m * p.n + p.n0 + n] = v;
    }
}

@compute @workgroup_size(WG_X)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lid: u32) {
    let n = (wid.z * nwg.x + wid.x) * TILE_N + lid;
    if (n >= p.n_part) {
        return;
    }
    let m = wid.y * TILE_M;
    let row = w_index(n, 0u, p.kw);
    var acc0 = vec4<f32>();
    var acc1 = vec4<f32>();
    for (var u = 0u; u < UNITS; u += RUN) {
        var sum0 = vec4<f32>();
        var sum1 = vec4<f32>();
        var all0 = vec4<f32>();
        var all1 = vec4<f32>();
        for (var i = u; i < u + RUN; i++) {
            let at = row + i * UNIT_WORDS * PACK_ROWS;
            let lo = half_unit(at, 0u);
            let hi = half_unit(at, 1u);
            sum0 += dots(lo, m, 2u * i) + dots(hi, m, 2u * i + 1u);
            if (TILE_M > 4u) {
                sum1 += dots(lo, m + 4u, 2u * i) + dots(hi, m + 4u, 2u * i + 1u);
            }
            if (STORAGE == STORE_Q4A) {
                all0 += totals(m, 2u * i) + totals(m, 2u * i + 1u);
                if (TILE_M > 4u) {
                    all1 += totals(m + 4u, 2u * i) + totals(m + 4u, 2u * i + 1u);
                }
            }
        }
        if (!W_QUANTIZED) {
            acc0 += sum0;
            acc1 += sum1;
            continue;
        }
        let g = min(u * 8u / GROUP, p.groups - 1u);
        let scale = w_scale_at(n, g, p.groups);
        acc0 += sum0 * scale;
        acc1 += sum1 * scale;
        if (STORAGE == STORE_Q4A) {
            let low = w_min_at(n, g, p.groups);
            acc0 -= all0 * low;
            acc1 -= all1 * low;
        }
    }
    store(m, n, acc0.x);
    if (TILE_M > 1u) {
        store(m + 1u, n, acc0.y);
        store(m + 2u, n, acc0.z);
        store(m + 3u, n, acc0.w);
    }
    if (TILE_M > 4u) {
        store(m + 4u, n, acc1.x);
        store(m + 5u, n, acc1.y);
        store(m + 6u, n, acc1.z);
        store(m + 7u, n, acc1.w);
    }
}
