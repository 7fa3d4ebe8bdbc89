// element1.wgsl - types of elementwise kernels whose items are one element (row constant ITEM = 1).
alias F = f32;
alias I = i32;
alias U = u32;
alias B = bool;

// The item of an operand whose element `at` lies in word v.
fn pick(v: U, at: u32, step: u32) -> U {
    return v;
}
