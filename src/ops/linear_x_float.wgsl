// linear_x_float.wgsl - x of linear_gemv as it is. Float storages only; their weights are read where they are used.


var<workgroup> xs: array<vec4<f32>, WG_X * 2u + WG_X / 4u>;

// One gap in eight: lanes that read steps apart meet different banks.
fn place(i: u32) -> u32 {
    return i + i / 8u;
}

fn keep_x(at: Place, i: u32, v: Halves) {
    if (i > 0u) {
        workgroupBarrier();
    }
    xs[place(2u * at.lane)] = v.low;
    xs[place(2u * at.lane + 1u)] = v.high;
    workgroupBarrier();
}

// acc + a step of w from unit `first` on, times units slot, slot + 1, ... of x.
fn add_step(acc: vec4<f32>, s: ptr<function, Step>, quad: u32, first: u32, slot: u32) -> vec4<f32> {
    var sum = acc;
    if (first >= UNITS) {
        return sum;
    }
    for (var i = 0u; i < QUADS; i++) {
        let at = quad_index(quad, (first + i) * UNIT_WORDS, WORDS);
        let word = wdata[at];
        let a = xs[place(2u * (slot + i))];
        let b = xs[place(2u * (slot + i) + 1u)];
        for (var j = 0u; j < 4u; j++) {
            let w = unit_pair(at, word, j);
            sum = fma(w.low, vec4<f32>(a[j]), sum);
            sum = fma(w.high, vec4<f32>(b[j]), sum);
        }
    }
    return sum;
}
