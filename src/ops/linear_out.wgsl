// linear_out.wgsl - what the linear kernels bind beside x and the weight, and how they end. A dispatch computes m rows
// of x with the rows n0 .. n0 + n_part - 1 of w; kw: words a row, groups: scale groups a row.

struct Params { m: u32, n: u32, n0: u32, n_part: u32, kw: u32, groups: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(5) var<storage, read> bias: array<f32>;          // [rows of w]
@group(0) @binding(7) var<storage, read> residual: array<f32>;      // [m, n]
@group(0) @binding(8) var<storage, read_write> y: array<f32>;       // [m, n]

// What is added to the product of x's row m and row n of the part.
fn addend(m: u32, n: u32) -> f32 {
    var v = 0.0;
    if (HAS_BIAS == 1u) {
        v = bias[N0 + n];
    }
    if (HAS_RESIDUAL == 1u) {
        v += residual[m * COLUMNS + N0 + n];
    }
    return v;
}

fn put(m: u32, n: u32, product: f32) {
    y[m * COLUMNS + N0 + n] = product + addend(m, n);
}

// silu(gate) * up of row m and column n: the products with rows n and n + COLUMNS of the weight.
fn put_gated(m: u32, n: u32, gate: f32, up: f32) {
    var g = gate;
    var u = up;
    if (HAS_BIAS == 1u) {
        g += bias[n];
        u += bias[COLUMNS + n];
    }
    y[m * COLUMNS + n] = g / (1.0 + exp(-g)) * u;
}
