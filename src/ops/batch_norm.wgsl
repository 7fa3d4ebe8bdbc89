// batch_norm.wgsl - y = (x[N, C, inner] - mean[C]) / sqrt(variance[C] + eps) * weight[C] + bias[C], one element an
// invocation. Node: HAS_WEIGHT, HAS_BIAS.
struct Params {
    n: u32, // elements
    inner: u32,
    channels: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> mean: array<f32>;
@group(0) @binding(5) var<storage, read> variance: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG_X)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * grid.x + group.x) * WG_X + lane;
    if (i >= p.n) {
        return;
    }
    let c = i / p.inner % p.channels;
    var v = (x[i] - mean[c]) * inverseSqrt(variance[c] + p.eps);
    if (HAS_WEIGHT == 1u) {
        v *= weight[c];
    }
    if (HAS_BIAS == 1u) {
        v += bias[c];
    }
    y[i] = v;
}
