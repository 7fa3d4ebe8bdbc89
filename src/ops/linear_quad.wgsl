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

// Weights of one element along K: complete where there are minimums, else before the scale.
fn complete(code: vec4<f32>, s: Scales) -> vec4<f32> {
    if (STORAGE == STORE_Q4A) {
        return code * s.scale - s.low;
    }
    return code;
}

// What one turn of the loop over K multiplies by: HALVES of a unit. Two take fewer operations; with many rows of x that
// matters little, and half the code is compiled in half the time.
const HALVES: u32 = select(2u, 1u, TILE_M > 4u);
struct Weights { low: mat4x4<f32>, high: mat4x4<f32> } // a column for each element

// Element j (0..3) of half a unit, which begins at vec4 index `at` with the word `first`.
fn half_element(at: u32, first: vec4<u32>, j: u32, s: Scales) -> vec4<f32> {
    var word = first;
    if (UNIT_WORDS > 2u) {
        word = wdata[at + 4u * (j * UNIT_WORDS / 8u)];
    }
    return complete(codes_of(word, word, j).low, s);
}

// The half of a unit that begins with element 4i.
fn half_unit(quad: u32, i: u32, s: Scales) -> Weights {
    let half = i & 1u; // shifts: software divides slowly
    let at = quad_index(quad, (i >> 1u) * UNIT_WORDS + half * (UNIT_WORDS / 2u), p.kw);
    var word = wdata[at];
    if (UNIT_WORDS == 1u) { // it holds both halves
        word >>= vec4<u32>(4u * half);
    }
    return Weights(mat4x4<f32>(half_element(at, word, 0u, s), half_element(at, word, 1u, s),
                               half_element(at, word, 2u, s), half_element(at, word, 3u, s)), mat4x4<f32>());
}

fn whole_unit(quad: u32, u: u32, s: Scales) -> Weights {
    let at = quad_index(quad, u * UNIT_WORDS, p.kw);
    let first = wdata[at];
    let e0 = unit_pair(at, first, 0u);
    let e1 = unit_pair(at, first, 1u);
    let e2 = unit_pair(at, first, 2u);
    let e3 = unit_pair(at, first, 3u);
    return Weights(mat4x4<f32>(complete(e0.low, s), complete(e1.low, s), complete(e2.low, s), complete(e3.low, s)),
                   mat4x4<f32>(complete(e0.high, s), complete(e1.high, s), complete(e2.high, s), complete(e3.high, s)));
}

// x[row, 4i .. 4i+3], times the norm's weight.
fn load_x(row: u32, i: u32) -> vec4<f32> {
    if (K % 32u != 0u && i >= K4) {
        return vec4<f32>();
    }
    var v = x[min(row, p.m - 1u) * K4 + i];
    if (NORM == 1u) {
        squares += dot(v, v);
        v *= norm[i];
    }
    return v;
}

fn times(w: mat4x4<f32>, v: vec4<f32>) -> vec4<f32> {
    return (w[0] * v.x + w[1] * v.y) + (w[2] * v.z + w[3] * v.w);
}

// sum + the weights times x[row, 4i ...].
fn add(sum: vec4<f32>, w: Weights, row: u32, i: u32) -> vec4<f32> {
    let low = load_x(row, i);
    if (HALVES == 1u) {
        return sum + times(w.low, low);
    }
    let high = load_x(row, i + 1u); // both loads first: one software compiler makes more of that
    return sum + times(w.low, low) + times(w.high, high);
}

// The sum of a run of units, with the scale.
fn scaled(sum: vec4<f32>, s: Scales) -> vec4<f32> {
    if (W_QUANTIZED && STORAGE != STORE_Q4A) {
        return sum * s.scale;
    }
    return sum;
}

struct Sums { a0: vec4<f32>, a1: vec4<f32>, a2: vec4<f32>, a3: vec4<f32>, a4: vec4<f32>, a5: vec4<f32>, a6: vec4<f32>, a7: vec4<f32> }

// The products of a quad and rows m, m + 1, ... of x.
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
        for (var i = 2u * first; i < 2u * (first + RUN); i += HALVES) {
            var w: Weights;
            if (HALVES == 1u) {
                w = half_unit(quad, i, scales);
            } else {
                w = whole_unit(quad, i >> 1u, scales);
            }
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
    if (TILE_M == 1u) {
        store(m, n, sums.a0);
        return;
    }
    let all = array(sums.a0, sums.a1, sums.a2, sums.a3, sums.a4, sums.a5, sums.a6, sums.a7);
    for (var i = 0u; i < TILE_M; i++) {
        store(m + i, n, all[i]);
    }
}
