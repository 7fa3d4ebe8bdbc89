// linear_quad.wgsl - one invocation four weight rows (a quad), TILE_M rows of x: for software devices, where workgroup
// barriers are slow and one wide load costs little more than a narrow one. x is the same for all invocations.

const K4: u32 = K / 4u;
const UNITS: u32 = (K + 7u) / 8u;
// Units that share a scale.
const RUN: u32 = select(4u, 2u, GROUP == 16u);

var<private> squares: f32; // the sum over x[m], with a norm (which rows of TILE_M = 1 can take along)

fn load_x(row: u32, i: u32) -> vec4<f32> {
    if (K % 32u != 0u && i >= K4) {
        return vec4<f32>();
    }
    return x[min(row, p.m - 1u) * K4 + i];
}

// x times the norm's weight.
fn weighted(v: vec4<f32>, i: u32) -> vec4<f32> {
    if (NORM == 0u || (K % 32u != 0u && i >= K4)) {
        return v;
    }
    return v * norm[i];
}

// sum + the unit's eight weights of each row times x[m, 8u .. 8u+7].
fn add_unit(sum: vec4<f32>, m: u32, u: u32, w0: pair, w1: pair, w2: pair, w3: pair) -> vec4<f32> {
    var a = load_x(m, 2u * u);
    var b = load_x(m, 2u * u + 1u);
    if (NORM == 1u) {
        squares += dot(a, a) + dot(b, b);
        a = weighted(a, 2u * u);
        b = weighted(b, 2u * u + 1u);
    }
    return sum + ((w0.low * a.x + w1.low * a.y) + (w2.low * a.z + w3.low * a.w)) +
        ((w0.high * b.x + w1.high * b.y) + (w2.high * b.z + w3.high * b.w));
}

// The sum of a run of units from `first` with scale and minimum applied.
fn scaled(sum: vec4<f32>, m: u32, first: u32, scale: vec4<f32>, low: vec4<f32>) -> vec4<f32> {
    if (STORAGE != STORE_Q4A) {
        return sum * scale;
    }
    var t = vec4<f32>();
    for (var i = 2u * first; i < 2u * (first + RUN); i++) {
        t += weighted(load_x(m, i), i);
    }
    return sum * scale - low * dot(t, vec4<f32>(1.0));
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
        var s0 = vec4<f32>();
        var s1 = vec4<f32>();
        var s2 = vec4<f32>();
        var s3 = vec4<f32>();
        var s4 = vec4<f32>();
        var s5 = vec4<f32>();
        var s6 = vec4<f32>();
        var s7 = vec4<f32>();
        for (var u = first; u < first + RUN; u++) {
            let at = quad_index(quad, u * UNIT_WORDS, p.kw);
            let word = wdata[at];
            let w0 = unit_pair(at, word, 0u);
            let w1 = unit_pair(at, word, 1u);
            let w2 = unit_pair(at, word, 2u);
            let w3 = unit_pair(at, word, 3u);
            s0 = add_unit(s0, m + 0u, u, w0, w1, w2, w3);
            if (TILE_M > 1u) {
                s1 = add_unit(s1, m + 1u, u, w0, w1, w2, w3);
                s2 = add_unit(s2, m + 2u, u, w0, w1, w2, w3);
                s3 = add_unit(s3, m + 3u, u, w0, w1, w2, w3);
            }
            if (TILE_M > 4u) {
                s4 = add_unit(s4, m + 4u, u, w0, w1, w2, w3);
                s5 = add_unit(s5, m + 5u, u, w0, w1, w2, w3);
                s6 = add_unit(s6, m + 6u, u, w0, w1, w2, w3);
                s7 = add_unit(s7, m + 7u, u, w0, w1, w2, w3);
            }
        }
        if (!W_QUANTIZED) {
            a0 += s0;
            if (TILE_M > 1u) {
                a1 += s1;
                a2 += s2;
                a3 += s3;
            }
            if (TILE_M > 4u) {
                a4 += s4;
                a5 += s5;
                a6 += s6;
                a7 += s7;
            }
            continue;
        }
        let scale = quad_scale(quad, first * 8u);
        var low = vec4<f32>();
        if (STORAGE == STORE_Q4A) {
            low = quad_min(quad, first * 8u);
        }
        a0 += scaled(s0, m + 0u, first, scale, low);
        if (TILE_M > 1u) {
            a1 += scaled(s1, m + 1u, first, scale, low);
            a2 += scaled(s2, m + 2u, first, scale, low);
            a3 += scaled(s3, m + 3u, first, scale, low);
        }
        if (TILE_M > 4u) {
            a4 += scaled(s4, m + 4u, first, scale, low);
            a5 += scaled(s5, m + 5u, first, scale, low);
            a6 += scaled(s6, m + 6u, first, scale, low);
            a7 += scaled(s7, m + 7u, first, scale, low);
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
    store(m + 0u, n, sums.a0);
    if (TILE_M > 1u) {
        store(m + 1u, n, sums.a1);
        store(m + 2u, n, sums.a2);
        store(m + 3u, n, sums.a3);
    }
    if (TILE_M > 4u) {
        store(m + 4u, n, sums.a4);
        store(m + 5u, n, sums.a5);
        store(m + 6u, n, sums.a6);
        store(m + 7u, n, sums.a7);
    }
}
