// matmul_item1.wgsl - lines of any length.
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;

fn a4(line: u32, k: u32) -> vec4<f32> {
    if (k >= p.k) {
        return vec4<f32>();
    }
    let at = line + k;
    if (k + 4u <= p.k) {
        return vec4<f32>(a[at], a[at + 1u], a[at + 2u], a[at + 3u]);
    }
    var v = vec4<f32>(a[at], 0.0, 0.0, 0.0);
    if (k + 1u < p.k) {
        v.y = a[at + 1u];
    }
    if (k + 2u < p.k) {
        v.z = a[at + 2u];
    }
    return v;
}

fn b4(line: u32, i: u32, end: u32) -> vec4<f32> {
    if (i >= end) {
        return vec4<f32>();
    }
    let at = line + i;
    if (i + 4u <= end) {
        return vec4<f32>(b[at], b[at + 1u], b[at + 2u], b[at + 3u]);
    }
    var v = vec4<f32>(b[at], 0.0, 0.0, 0.0);
    if (i + 1u < end) {
        v.y = b[at + 1u];
    }
    if (i + 2u < end) {
        v.z = b[at + 2u];
    }
    return v;
}
