// words4.wgsl - kernels over 32-bit words of either element type, with four in an item (row constant ITEM = 4).
alias Words = vec4<u32>;
alias Floats = vec4<f32>;
alias Ints = vec4<i32>;

fn float_of(v: Floats, k: u32) -> f32 {
    return v[k];
}

fn int_of(v: Ints, k: u32) -> i32 {
    return v[k];
}

fn with_float(v: Floats, k: u32, x: f32) -> Floats {
    var changed = v;
    changed[k] = x;
    return changed;
}
