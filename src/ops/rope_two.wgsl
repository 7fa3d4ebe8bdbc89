// rope_two.wgsl - angles from a table of cosines and one of sines: [positions, D/2] for both elements of a pair
// (interleaved), or [positions, D], each element with its own.
@group(0) @binding(3) var<storage, read> cosines: array<f32>;
@group(0) @binding(4) var<storage, read> sines: array<f32>;

fn angles(row: u32, i: u32) -> vec4<f32> {
    if (INTERLEAVED == 1u) {
        let at = row * p.half + i;
        return vec4<f32>(cosines[at], sines[at], cosines[at], sines[at]);
    }
    let at = row * 2u * p.half + i;
    return vec4<f32>(cosines[at], sines[at], cosines[at + p.half], sines[at + p.half]);
}
