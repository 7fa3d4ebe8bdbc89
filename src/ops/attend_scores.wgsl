// attend_scores.wgsl - the scores of four queries, a column each, with four cache rows: what the kernels share that make
// them tile by tile.

// Masked where a query (t0 + 0..3) does not see a row.
fn mask(m: mat4x4<f32>, rows: vec4<u32>, end: u32, t0: u32) -> mat4x4<f32> {
    let low = vec4<f32>(MASKED);
    return mat4x4<f32>(select(low, m[0], rows < vec4<u32>(min(end, visible(t0)))),
                       select(low, m[1], rows < vec4<u32>(min(end, visible(t0 + 1u)))),
                       select(low, m[2], rows < vec4<u32>(min(end, visible(t0 + 2u)))),
                       select(low, m[3], rows < vec4<u32>(min(end, visible(t0 + 3u)))));
}

// The weights, by the largest score of each query.
fn powers(m: mat4x4<f32>, top: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(exp2(m[0] - top.x), exp2(m[1] - top.y), exp2(m[2] - top.z), exp2(m[3] - top.w));
}
