// q8_linear.wgsl - y[M, N] = x[M, K] . w[N, K]^T of 8-bit codes, sums in integers: an invocation four outputs of a row.
// Node: HAS_BIAS, RELU, FLOAT_OUTPUT. With quantize.wgsl and q8_byte.wgsl or q8_word.wgsl, which have sum_of.
struct Params {
    output: Quant,
    input_scale: f32,
    input_zero: i32,
    n: u32,       // invocations
    k: u32,       // elements of a row of x
    outputs: u32, // N
    blocks: u32,  // of four outputs
    row: u32,     // bytes of a row of w
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> w: array<i32>;
@group(0) @binding(3) var<storage, read> w_scales: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<u32>;

fn finish(row: u32, o: u32, sum: i32) {
    var v = f32(sum) * (p.input_scale * w_scales[o]);
    if (HAS_BIAS == 1u) {
        v += bias[o];
    }
    if (RELU == 1u) {
        v = max(v, 0.0);
    }
    let at = row * p.outputs + o;
    if (FLOAT_OUTPUT == 1u) {
        y[at] = bitcast<u32>(v);
    } else {
        y[at] = bitcast<u32>(quantize(v, p.output));
    }
}

@compute @workgroup_size(WG_X)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * grid.x + group.x) * WG_X + lane;
    if (i >= p.n) {
        return;
    }
    let row = i / p.blocks;
    let o = (i - row * p.blocks) * 4u;
    // Outputs past the end are the last one again, and are not stored.
    let left = p.outputs - o;
    let sum = sum_of(row, o + min(vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(left - 1u)));
    finish(row, o, sum.x);
    if (left > 1u) {
        finish(row, o + 1u, sum.y);
    }
    if (left > 2u) {
        finish(row, o + 2u, sum.z);
    }
    if (left > 3u) {
        finish(row, o + 3u, sum.w);
    }
}
