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

struct Floats {
    s0: vec4<f32>, s1: vec4<f32>, s2: vec4<f32>, s3: vec4<f32>,
    s4: vec4<f32>, s5: vec4<f32>, s6: vec4<f32>, s7: vec4<f32>,
}

fn add_floats(t: Floats, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>) -> Floats {
    return Floats(fma(vec4<f32>(a.x), c, t.s0), fma(vec4<f32>(a.y), c, t.s1),
                  fma(vec4<f32>(a.z), c, t.s2), fma(vec4<f32>(a.w), c, t.s3),
                  fma(vec4<f32>(b.x), c, t.s4), fma(vec4<f32>(b.y), c, t.s5),
                  fma(vec4<f32>(b.z), c, t.s6), fma(vec4<f32>(b.w), c, t.s7));
}

// Sixteen outer products a round: a loop's own instructions are as many as those of one.
@compute @workgroup_size(256)
fn multiply_add(@builtin(global_invocation_id) id: vec3<u32>) {
    let a = bitcast<vec4<f32>>(src[0]);
    let b = bitcast<vec4<f32>>(src[1]);
    let c = bitcast<vec4<f32>>(src[2]) + vec4<f32>(f32(id.x)); // each lane its own
    var t = Floats(c, c, c, c, c, c, c, c);
    for (var i = 0u; i < p.rounds; i++) {
        t = add_floats(t, a, b, c); t = add_floats(t, a, b, c); t = add_floats(t, a, b, c); t = add_floats(t, a, b, c);
        t = add_floats(t, a, b, c); t = add_floats(t, a, b, c); t = add_floats(t, a, b, c); t = add_floats(t, a, b, c);
        t = add_floats(t, a, b, c); t = add_floats(t, a, b, c); t = add_floats(t, a, b, c); t = add_floats(t, a, b, c);
        t = add_floats(t, a, b, c); t = add_floats(t, a, b, c); t = add_floats(t, a, b, c); t = add_floats(t, a, b, c);
    }
    dst[id.x] = bitcast<vec4<u32>>(t.s0 + t.s1 + t.s2 + t.s3 + t.s4 + t.s5 + t.s6 + t.s7);
}

struct Ints {
    s0: vec4<i32>, s1: vec4<i32>, s2: vec4<i32>, s3: vec4<i32>,
    s4: vec4<i32>, s5: vec4<i32>, s6: vec4<i32>, s7: vec4<i32>,
    c: vec4<u32>,
}

fn dots(a: u32, c: vec4<u32>) -> vec4<i32> {
    return vec4<i32>(dot4I8Packed(a, c.x), dot4I8Packed(a, c.y), dot4I8Packed(a, c.z), dot4I8Packed(a, c.w));
}

fn add_dots(t: Ints, a: vec4<u32>, b: vec4<u32>) -> Ints {
    return Ints(t.s0 + dots(a.x, t.c), t.s1 + dots(a.y, t.c), t.s2 + dots(a.z, t.c), t.s3 + dots(a.w, t.c),
                t.s4 + dots(b.x, t.c), t.s5 + dots(b.y, t.c), t.s6 + dots(b.z, t.c), t.s7 + dots(b.w, t.c),
                t.c + vec4<u32>(1u)); // other products every time
}

@compute @workgroup_size(256)
fn dot_bytes(@builtin(global_invocation_id) id: vec3<u32>) {
    let a = src[0];
    let b = src[1];
    let c = src[2] + vec4<u32>(id.x);
    let s = vec4<i32>(c);
    var t = Ints(s, s, s, s, s, s, s, s, c);
    for (var i = 0u; i < p.rounds; i++) {
        t = add_dots(t, a, b); t = add_dots(t, a, b); t = add_dots(t, a, b); t = add_dots(t, a, b);
        t = add_dots(t, a, b); t = add_dots(t, a, b); t = add_dots(t, a, b); t = add_dots(t, a, b);
        t = add_dots(t, a, b); t = add_dots(t, a, b); t = add_dots(t, a, b); t = add_dots(t, a, b);
        t = add_dots(t, a, b); t = add_dots(t, a, b); t = add_dots(t, a, b); t = add_dots(t, a, b);
    }
    dst[id.x] = vec4<u32>(t.s0 + t.s1 + t.s2 + t.s3 + t.s4 + t.s5 + t.s6 + t.s7);
}
