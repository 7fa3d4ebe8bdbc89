// element4.wgsl - types of elementwise kernels whose items are four elements (row constant ITEM = 4).
alias F = vec4<f32>;
alias I = vec4<i32>;
alias U = vec4<u32>;
alias B = vec4<bool>;

// The item of an operand whose element `at` lies in v: all of v, or that element four times (step 0).
fn pick(v: U, at: u32, step: u32) -> U {
    if (step == 0u) {
        return U(v[at & 3u]);
    }
    return v;
}
