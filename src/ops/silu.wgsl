// silu.wgsl - x sigmoid(x), over items (element1 or element4).

// x / (1 + exp(-x)); at x = -87 the result is already 1e-36.
fn silu(x: F) -> F {
    return x / (F(1.0) + exp(min(-x, F(87.0))));
}
