// rope_one.wgsl - angles from one table of pairs, which serve both elements.
@group(0) @binding(3) var<storage, read> table: array<vec2<f32>>; // [positions, D/2]: cosine, sine

fn angles(row: u32, i: u32) -> vec4<f32> {
    return table[row * p.half + i].xyxy;
}
