// quantize_rows.wgsl - y = (clamp(round(x / s) + z, -128, 127) - z) * s with the scale s and zero point z of the row: what
// x becomes in 8 bits. One item an invocation. p.n: items; p.row_items: items of a row.
struct Params {
    n: u32,
    row_items: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Floats>;
@group(0) @binding(2) var<storage, read> scales: array<f32>;
@group(0) @binding(3) var<storage, read> zero_points: array<i32>;
@group(0) @binding(4) var<storage, read_write> y: array<Floats>;

// round(x / s). Only a quotient that is nearly in the middle of two integers needs the exact division; far outside the
// codes it does not matter which way it goes.
fn rounded_quotient(v: f32, s: f32) -> f32 {
    let q = abs(v) / s;
    if (abs(q - floor(q) - 0.5) < 1e-3 && q < 1024.0) {
        return sign(v) * round(divide(abs(v), s));
    }
    return sign(v) * round(min(q, 1024.0));
}

@compute @workgroup_size(WG_X)
fn quantize_rows(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
                 @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * grid.x + group.x) * WG_X + lane;
    if (i >= p.n) {
        return;
    }
    let row = i / p.row_items;
    let s = scales[row];
    let z = f32(zero_points[row]);
    let v = x[i];
    var result = Floats(0.0);
    for (var k = 0u; k < ITEM; k++) {
        let code = clamp(rounded_quotient(float_of(v, k), s) + z, -128.0, 127.0);
        result = with_float(result, k, (code - z) * s);
    }
    y[i] = result;
}
