// linear_quad.wgsl - one invocation four weight rows (a quad), TILE_M rows of x: for software devices, where workgroup
// barriers are slow and one wide load costs little more than a narrow one. x is the same for all invocations.

const K4: u32 = K / 4u;
const UNITS: u32 = (K + 7u) / 8u;
// Units that share a scale.
const RUN: u32 = select(4u, 2u, GROUP == 16u);

var<private> squares: f32; // the sum over x[m], with a norm (which rows of TILE_M = 1 can take along)

// A scale and a minimum for each row of the quad.
struct Scales { scale: vec4<f32>, low: vec4<f32> }

fn scales_at(quad: u32, k: u32) -> Scales {
    var s = Scales(vec4<f32>(1.0), vec4<f32>());
    if (W_QUANTIZED) {
        s.scale = quad_scale(quad, k);
    }
    if (STORAGE == STORE_Q4A) {
        s.low = quad_min(quad, k);
    }
    return s;
}

// Element j (0..3) of the half of a unit that begins at vec4 index `at` with the word `first`: for each row of the quad,
// complete with a minimum, else before its scale.
fn element(at: u32, first: vec4<u32>, j: u32, s: Scales) -> vec4<f32> {
    var word = first;
    if (UNIT_WORDS > 2u) {
        word = wdata[at + 4u * (j * UNIT_WORDS / 8u)];
    }
    let code = codes_of(word, word, j).low;
    if (STORAGE == STORE_Q4A) {
        return code * s.scale - s.low;
    }
    return code;
}

// x[row, 4i .. 4i+3], times the norm's weight.
fn load_x(row: u32, i: u32) -> vec4<f32> {
    if (K % 32u != 0u && i >= K4) {
        return vec4<f32>();
    }
    let v = x[min(row, p.m - 1u) * K4 + i];
    if (NORM == 0u) {
        return v;
    }
    squares += dot(v, v);
    return v * norm[i];
}

// sum + four elements of each row of the quad times x[row, 4i .. 4i+3].
fn add(sum: vec4<f32>, w: mat4x4<f32>, row: u32, i: u32) -> vec4<f32> {
    let v = load_x(row, i);
    return sum + ((w[0] * v.x + w[1] * v.y) + (w[2] * v.z + w[3] * v.w));
}

// The sum of a run of units, with the scale.
fn scaled(sum: vec4<f32>, s: Scales) -> vec4<f32> {
    if (W_QUANTIZED && STORAGE != STORE_Q4A) {
        return sum * s.scale;
    }
    return sum;
}

struct Sums { a0: vec4<f32>, a1: vec4<f32>, a2: vec4<f32>, a3: vec4<f32>, a4: vec4<f32>, a5: vec4<f32>, a6: vec4<f32>, a7: vec4<f32> }

// The products of a quad and rows m, m + 1, ... of x. The inner loop takes half a unit: twice as much code compiles half
// as fast and runs no faster.
fn products(quad: u32, m: u32) -> Sums {
    var a0 = vec4<f32>();
    var a1 = vec4<f32>();
    var a2 = vec4<f32>();
    var a3 = vec4<f32>();
    var a4 = vec4<f32>();
    var a5 = vec4<f32>();
    var a6 = vec4<f32>();
    var a7 = vec4<f32>();
    for (var first = 0u; first < UNITS; first += RUN) {
        let scales = scales_at(quad, first * 8u);
        var s0 = vec4<f32>();
        var s1 = vec4<f32>();
        var s2 = vec4<f32>();
        var s3 = vec4<f32>();
        var s4 = vec4<f32>();
        var s5 = vec4<f32>();
        var s6 = vec4<f32>();
        var s7 = vec4<f32>();
        for (var i = 2u * first; i < 2u * (first + RUN); i++) {
            let half = i % 2u;
            let at = quad_index(quad, i / 2u * UNIT_WORDS + half * (UNIT_WORDS / 2u), p.kw);
            var word = wdata[at];
            if (UNIT_WORDS == 1u) { // it holds both halves
                word >>= vec4<u32>(4u * half);
            }
            let w = mat4x4<f32>(element(at, word, 0u, scales), element(at, word, 1u, scales),
                                element(at, word, 2u, scales), element(at, word, 3u, scales));
            s0 = add(s0, w, m + 0u, i);
            if (TILE_M > 1u) {
                s1 = add(s1, w, m + 1u, i);
                s2 = add(s2, w, m + 2u, i);
                s3 = add(s3, w, m + 3u, i);
            }
            if (TILE_M > 4u) {
                s4 = add(s4, w, m + 4u, i);
                s5 = add(s5, w, m + 5u, i);
                s6 = add(s6, w, m + 6u, i);
                s7 = add(s7, w, m + 7u, i);
            }
        }
        a0 += scaled(s0, scales);
        if (TILE_M > 1u) {
            a1 += scaled(s1, scales);
            a2 += scaled(s2, scales);
            a3 += scaled(s3, scales);
        }
        if (TILE_M > 4u) {
            a4 += scaled(s4, scales);
            a5 += scaled(s5, scales);
            a6 += scaled(s6, scales);
            a7 += scaled(s7, scales);
        }
    }
    return Sums(a0, a1, a2, a3, a4, a5, a6, a7);
}

fn store(m: u32, n: u32, sum: vec4<f32>) {
    if (m >= p.m) {
        return;
    }
    for (var i = 0u; i < 4u; i++) {
        if (n + i < N) {
            put(m, n + i, sum[i]);
        }
    }
}

@compute @workgroup_size(WG_X)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) lid: u32) {
    let quad = (wid.z * nwg.x + wid.x) * WG_X + lid;
    let n = quad * 4u;
    if (n >= select(N, N / 2u, GATED == 1u)) {
        return;
    }
    let m = wid.y * TILE_M;
    var sums = products(quad, m);
    var scale = 1.0;
    if (NORM == 1u) {
        scale = inverseSqrt(squares / f32(K) + bitcast<f32>(EPS));
        sums.a0 *= scale;
    }
    if (GATED == 1u) {
        let up = scale * products(quad + N / 8u, m).a0;
        for (var i = 0u; i < 4u; i++) {
            put_gated(m, n + i, sums.a0[i], up[i]);
        }
        return;
    }
    let all = array(sums.a0, sums.a1, sums.a2, sums.a3, sums.a4, sums.a5, sums.a6, sums.a7);
    for (var i = 0u; i < TILE_M; i++) {
        store(m + i, n, all[i]);
    }
}
