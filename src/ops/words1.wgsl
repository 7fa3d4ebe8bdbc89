// words1.wgsl - kernels over 32-bit words of either element type, with one word in an item (row constant ITEM = 1).
alias Words = u32;
alias Floats = f32;
alias Ints = i32;

fn float_of(v: Floats, k: u32) -> f32 {
    return v;
}

fn int_of(v: Ints, k: u32) -> i32 {
    return v;
}

fn with_float(v: Floats, k: u32, x: f32) -> Floats {
    return x;
}
