// peaks.wgsl - what a device reaches in kernels that do one thing only. The arithmetic is that of a tile of 8 x 4
// products in registers: an outer product a round, so that operands are used again as in a real kernel. They come from
// memory, so that nothing is computed ahead.
struct Params {
    n: u32,       // vec4s to copy
    rounds: u32,  // of arithmetic
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> src: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> dst: array<vec4<u32>>;

@compute @workgroup_size(256)
fn copy(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var i = id.x; i < p.n; i += groups.x * 256u) {
        dst[i] = src[i];
    }
}

@compute @workgroup_size(256)
fn multiply_add(@builtin(global_invocation_id) id: vec3<u32>) {
    let a = bitcast<vec4<f32>>(src[0]);
    let b = bitcast<vec4<f32>>(src[1]);
    let c = bitcast<vec4<f32>>(src[2]);
    var s0 = c; var s1 = c; var s2 = c; var s3 = c; var s4 = c; var s5 = c; var s6 = c; var s7 = c;
    for (var i = 0u; i < p.rounds; i++) {
        s0 = fma(vec4<f32>(a.x), c, s0); s1 = fma(vec4<f32>(a.y), c, s1);
        s2 = fma(vec4<f32>(a.z), c, s2); s3 = fma(vec4<f32>(a.w), c, s3);
        s4 = fma(vec4<f32>(b.x), c, s4); s5 = fma(vec4<f32>(b.y), c, s5);
        s6 = fma(vec4<f32>(b.z), c, s6); s7 = fma(vec4<f32>(b.w), c, s7);
    }
    dst[id.x] = bitcast<vec4<u32>>(s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7);
}

fn dots(a: u32, c: vec4<u32>) -> vec4<i32> {
    return vec4<i32>(dot4I8Packed(a, c.x), dot4I8Packed(a, c.y), dot4I8Packed(a, c.z), dot4I8Packed(a, c.w));
}

@compute @workgroup_size(256)
fn dot_bytes(@builtin(global_invocation_id) id: vec3<u32>) {
    let a = src[0];
    let b = src[1];
    var c = src[2] + vec4<u32>(id.x);
    var s0 = vec4<i32>(c); var s1 = s0; var s2 = s0; var s3 = s0; var s4 = s0; var s5 = s0; var s6 = s0; var s7 = s0;
    for (var i = 0u; i < p.rounds; i++) {
        s0 += dots(a.x, c); s1 += dots(a.y, c); s2 += dots(a.z, c); s3 += dots(a.w, c);
        s4 += dots(b.x, c); s5 += dots(b.y, c); s6 += dots(b.z, c); s7 += dots(b.w, c);
        c += vec4<u32>(1u); // another product every round
    }
    dst[id.x] = vec4<u32>(s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7);
}
