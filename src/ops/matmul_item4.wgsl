// matmul_item4.wgsl - lines whose lengths are multiples of four.
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;

fn a4(line: u32, k: u32) -> vec4<f32> {
    if (k >= p.k) {
        return vec4<f32>();
    }
    return a[(line + k) / 4u];
}

fn b4(line: u32, i: u32, end: u32) -> vec4<f32> {
    if (i >= end) {
        return vec4<f32>();
    }
    return b[(line + i) / 4u];
}
