// quantize.wgsl - from numbers to codes, as torch.ops.quantized_decomposed.quantize_per_tensor.
struct Quant {
    inverse: f32, // of the scale
    zero_point: f32,
    low: f32,
    high: f32,
}

// WGSL rounds halves to even.
fn quantize(v: f32, q: Quant) -> i32 {
    return i32(clamp(round(v * q.inverse) + q.zero_point, q.low, q.high));
}
