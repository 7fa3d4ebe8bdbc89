// linear8.wgsl - operands of the linear kernels that take x in blocks of 32 signed bytes, as blocks8.wgsl writes them.

@group(0) @binding(1) var<storage, read> x: array<vec4<u32>>;       // [half blocks, m]: 16 codes
@group(0) @binding(2) var<storage, read> wdata: array<u32>;
@group(0) @binding(3) var<storage, read> wscales: array<u32>;
@group(0) @binding(4) var<storage, read> wmins: array<u32>;
@group(0) @binding(6) var<storage, read> xscales: array<vec2<f32>>; // [blocks, m]: scale, scale times the sum of codes

const BLOCKS: u32 = (K + 31u) / 32u;
const BLOCK_WORDS: u32 = select(4u, 8u, STORAGE == STORE_Q8); // of a row of w

// Half a block of w as signed bytes: 8-bit codes as they are, codes of minimums 0..15, others (code - 8) * 16, which
// takes no more operations; what divides by 16 is W_UNIT.
const W_UNIT: f32 = select(1.0, 0.0625, STORAGE == STORE_Q4);

fn unpack_codes(words: vec4<u32>) -> vec4<u32> {
    if (STORAGE == STORE_Q8) {
        return words;
    }
    if (STORAGE == STORE_Q4A) {
        return vec4<u32>(words.x, words.x >> 4u, words.y, words.y >> 4u) & vec4<u32>(0x0F0F0F0Fu);
    }
    let high = vec4<u32>(words.x << 4u, words.x, words.y << 4u, words.y);
    return (high & vec4<u32>(0xF0F0F0F0u)) ^ vec4<u32>(0x80808080u);
}

// The product of 16 codes of x and of w.
fn dot16(a: vec4<u32>, b: vec4<u32>) -> i32 {
    return dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y) + dot4I8Packed(a.z, b.z) + dot4I8Packed(a.w, b.w);
}
