// linear_gemm.wgsl - tiled product for many rows: TILE_M x TILE_N outputs a workgroup, 8 x 8 an invocation, K in
// steps of TILE_K through workgroup memory. The next step's words are loaded before this one is computed.

struct Params { m: u32, n: u32, n0: u32, n_part: u32, kw: u32, groups: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;       // [m, K]
@group(0) @binding(2) var<storage, read> wdata: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> wscales: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read> wmins: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;          // [n]
@group(0) @binding(6) var<storage, read_write> y: array<f32>;       // [m, n]

const K4: u32 = K / 4u;
const M4: u32 = TILE_M / 4u; // quads of x rows in a tile: 32
const N4: u32 = TILE_N / 4u; // quads of weight rows: 16

var<workgroup> xs: array<vec4<f32>, TILE_K * M4>; // [k][quad of m]
var<workgroup> ws: array<vec4<f32>, TILE_K * N4>; // [k][quad of n]

// x[row, 4i .. 4i+3], zero past the row. Rows past m repeat the last one and are not stored.
fn load_x(row: u32, i: u32) -> vec4<f32> {
    if (K % TILE_K != 0u && i >= K4) {
        return vec4<f32>();
    }
    return x[min(row, p.m - 1u) * K4 + i];
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
    // Loading: a 4 x 4 block of x (quad xq, columns 4*xk ..) and elements wj, wj + 4 of unit wu of quad wq.
    let xk = lid % 4u;
    let xq = lid / 4u;
    let wj = lid % 4u;
    let wu = (lid / 4u) % 2u;
    let wq = lid / 8u;
    let blocks = (p.n_part + 15u) / 16u;
    let quad = min(tile * N4 + wq, blocks * 4u - 1u);
    // Computing: rows 4*ty and 64 + 4*ty of the tile, columns 4*tx and 32 + 4*tx.
    let tx = lid % 8u;
    let ty = lid / 8u;
    var acc: array<vec4<f32>, 16>;
    for (var i = 0u; i < 16u; i++) {
        acc[i] = vec4<f32>();
    }
    for (var k = 0u; k < K; k += TILE_K) {
        let row = m_first + 4u * xq;
        let r0 = load_x(row, k / 4u + xk);
        let r1 = load_x(row + 1u, k / 4u + xk);
        let r2 = load_x(row + 2u, k / 4u + xk);
        let r3 = load_x(row + 3u, k / 4u + xk);
        let unit = k / 8u + wu;
        let at = quad_index(quad, unit * UNIT_WORDS, p.kw);
        var w = unit_pair(at, wdata[at], wj);
        if (W_QUANTIZED) {
            let scale = quad_scale(quad, unit * 8u);
            w.low *= scale;
            w.high *= scale;
            if (STORAGE == STORE_Q4A) {
                let low = quad_min(quad, unit * 8u);
                w.low -= low;
                w.high -= low;
            }
        }
        workgroupBarrier();
        let xi = 4u * xk * M4 + xq;
        xs[xi] = vec4<f32>(r0.x, r1.x, r2.x, r3.x);
        xs[xi + M4] = vec4<f32>(r0.y, r1.y, r2.y, r3.y);
        xs[xi + 2u * M4] = vec4<f32>(r0.z, r1.z, r2.z, r3.z);
        xs[xi + 3u * M4] = vec4<f32>(r0.w, r1.w, r2.w, r3.w);
        let wi = (8u * wu + wj) * N4 + wq;
        ws[wi] = w.low;
        ws[wi + 4u * N4] = w.high;
        workgroupBarrier();
        for (var i = 0u; i < TILE_K; i++) {
            let xa = xs[i * M4 + ty];
            let xb = xs[i * M4 + M4 / 2u + ty];
            let wa = ws[i * N4 + tx];
            let wb = ws[i * N4 + N4 / 2u + tx];
            acc[0] = fma(vec4<f32>(xa.x), wa, acc[0]);
            acc[1] = fma(vec4<f32>(xa.x), wb, acc[1]);
            acc[2] = fma(vec4<f32>(xa.y), wa, acc[2]);
            acc[3] = fma(vec4<f32>(xa.y), wb, acc[3]);
            acc[4] = fma(vec4<f32>(xa.z), wa, acc[4]);
            acc[5] = fma(vec4<f32>(xa.z), wb, acc[5]);
            acc[6] = fma(vec4<f32>(xa.w), wa, acc[6]);
            acc[7] = fma(vec4<f32>(xa.w), wb, acc[7]);
            acc[8] = fma(vec4<f32>(xb.x), wa, acc[8]);
            acc[9] = fma(vec4<f32>(xb.x), wb, acc[9]);
            acc[10] = fma(vec4<f32>(xb.y), wa, acc[10]);
            acc[11] = fma(vec4<f32>(xb.y), wb, acc[11]);
            acc[12] = fma(vec4<f32>(xb.z), wa, acc[12]);
            acc[13] = fma(vec4<f32>(xb.z), wb, acc[13]);
            acc[14] = fma(vec4<f32>(xb.w), wa, acc[14]);
            acc[15] = fma(vec4<f32>(xb.w), wb, acc[15]);
        }
    }
    for (var i = 0u; i < 8u; i++) {
        let m = m_first + (i / 4u) * (TILE_M / 2u) + 4u * ty + i % 4u;
        for (var c = 0u; c < 8u; c++) {
            let n = n_first + (c / 4u) * (TILE_N / 2u) + 4u * tx + c % 4u;
            if (m < p.m && n < p.n_part) {
                var v = acc[2u * i + c / 4u][c % 4u];
                if (HAS_BIAS == 1u) {
                    v += bias[p.n0 + n];
                }
                y[m * p.n + p.n0 + n] = v;
            }
        }
    }
}
